"""Arguments in, exit status out: every message says what, where, and what to do."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import notifierlab
from notifierlab.cli import _guarded
from tests.sample_log import log_bytes

HOME = Path(__file__).parent.parent
LINES = log_bytes().splitlines(keepends=True)


class Answer:
    """What a command said."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


Ask = Callable[..., Answer]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Runs the command line inside this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Answer:
        status = _guarded(list(arguments))
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return run


@pytest.fixture
def log(tmp_path: Path) -> str:
    """The sample run as a file."""
    (tmp_path / "run.jsonl").write_bytes(log_bytes())
    return "run.jsonl"


# --- what is loaded -------------------------------------------------------------------

HEAVY = ("trio", "pydantic", "structlog", "rich", "msgspec", "importlib.metadata")


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=HOME,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["explore", "--help"], ["--version"], ["check"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from notifierlab.cli import _guarded\n"
        f"_guarded({arguments!r})\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    assert "LOADED []" in _python("-c", code).stdout


def test_completing_a_command_loads_nothing_heavy() -> None:
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('LOADED', [name for name in {HEAVY!r} if name in sys.modules]))\n"
        "from notifierlab.cli import main\n"
        "main()\n"
    )
    done = _python("-c", code, _NOTIFIERLAB_COMPLETE="bash_complete", COMP_WORDS="notifierlab re", COMP_CWORD="1")
    assert "replay" in done.stdout
    assert "LOADED []" in done.stdout


@pytest.mark.slow
def test_help_answers_at_once() -> None:
    code = "import time; from notifierlab.cli import _guarded; _guarded(['--help']); print('CPU', time.process_time())"
    best = min(float(_python("-c", code).stdout.rpartition("CPU ")[2]) for _ in range(5))

    assert best < 0.1


@pytest.mark.slow
def test_a_log_is_judged_without_the_simulator(tmp_path: Path) -> None:
    package = tmp_path / "notifierlab"
    shutil.copytree(HOME / "notifierlab", package)
    for room in ("mm", "machine"):
        shutil.rmtree(package / room)
    for room in ("host.py", "shadow.py"):
        (package / room).unlink()
    log = tmp_path / "run.jsonl"
    log.write_bytes(log_bytes())

    for command, status in (("check", 1), ("story", 1), ("ledger", 1), ("schema", 0), ("rules", 0)):
        arguments = [command] if command in ("schema", "rules") else [command, str(log)]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "notifierlab", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert done.stdout


# --- logs -----------------------------------------------------------------------------


def test_check_finds_what_is_wrong_and_exits_1(ask: Ask, log: str) -> None:
    answer = ask("check", log)

    assert answer.status == 1
    assert answer.out.startswith("VIOLATED  run.jsonl")
    assert "freed-while-reachable" in answer.out
    assert answer.err == ""


def test_check_prints_one_json_object(ask: Ask, log: str) -> None:
    answer = ask("check", log, "--json")
    result = json.loads(answer.out)

    assert answer.status == 1
    assert result["verdict"] == "violated"
    assert {"rule", "message", "step"} <= set(result["violations"][0])
    assert {"verdict", "violations", "runs", "steps", "traces", "states", "bound", "seconds"} <= set(result)
    assert result["traces"] is None
    assert result["runs"] == 1
    assert result["steps"] == 25


def test_check_reads_standard_input(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log_bytes())))

    assert ask("check", "-").status == 1


def test_check_judges_by_the_asked_rule_alone(ask: Ask, log: str) -> None:
    assert ask("check", log, "--rule", "deadlock").status == 0
    only = json.loads(ask("check", log, "--rule", "unpaired-end", "--json").out)
    assert [each["rule"] for each in only["violations"]] == ["unpaired-end"]


def test_check_says_when_the_log_claims_something_else(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(log_bytes(violations=()))

    assert (
        "the verdict line of the log says no-violation-within, the checker says violated"
        in ask("check", "run.jsonl").out
    )


def test_a_log_that_was_cut_off_is_undecided_unless_something_is_found(ask: Ask, tmp_path: Path) -> None:
    freed = next(n for n, line in enumerate(LINES) if b'"page_freed"' in line)
    (tmp_path / "before.jsonl").write_bytes(b"".join(LINES[:8]))
    (tmp_path / "after.jsonl").write_bytes(b"".join(LINES[: freed + 1]) + b'{"ev":"sec_acc')

    before, after = ask("check", "before.jsonl"), ask("check", "after.jsonl")
    assert (before.status, after.status) == (3, 1)
    assert before.out.startswith("undecided")
    assert "was cut off after 7 events" in before.out
    assert "was cut off" in after.out


def test_several_logs_are_judged_together(ask: Ask, log: str) -> None:
    result = json.loads(ask("check", log, log, "--json").out)

    assert result["runs"] == 2
    assert result["violations"][0]["log"] == "run.jsonl"


def test_a_bad_line_is_named_with_its_place(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b"".join(LINES).replace(b'"pfn":3,"gen"', b'"pfn":"3","gen"'))
    answer = ask("check", "bad.jsonl")

    assert answer.status == 2
    assert "bad.jsonl, line 3, column" in answer.err
    assert "field `pfn`: expected an integer" in answer.err
    assert answer.out == ""


def test_a_missing_log_is_wrong_use(ask: Ask) -> None:
    answer = ask("check", "nowhere.jsonl")

    assert answer.status == 2
    assert "Cannot read the log nowhere.jsonl: No such file or directory" in answer.err


def test_story_tells_the_most_severe_violation_or_the_asked_one(ask: Ask, log: str) -> None:
    assert ask("story", log).out.startswith("freed-while-reachable: ")
    assert ask("story", log, "--rule", "unpaired-end").out.startswith("unpaired-end: ")
    none = ask("story", log, "--rule", "deadlock")
    assert none.status == 0
    assert "shows no violation of deadlock" in none.out
    assert ask("story", log).out.endswith("replay  notifierlab replay run.jsonl\n")


def test_ledger_has_a_row_for_the_freed_page(ask: Ask, log: str) -> None:
    answer = ask("ledger", log)
    rows = json.loads(ask("ledger", log, "--json").out)

    assert "kvm0" in answer.out
    assert len(rows) == 1


def test_schema_is_json(ask: Ask) -> None:
    assert json.loads(ask("schema").out)["$schema"].startswith("https://json-schema.org/")


# --- wrong use ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chek"], "There is no command `chek`. Did you mean `check`?"),
        (["run", "--sed", "1"], "--seed"),
        (["run", "founding-rase"], "There is no scenario `founding-rase`. Did you mean `founding-race`?"),
        (["run", "founding-race", "--mutant", "free-before-flsh"], "Did you mean `free-before-flush`?"),
        (["run", "founding-race", "--profile", "v2_6_72"], "There is no profile `v2_6_72`. Did you mean `v2_6_32`?"),
        (["run", "founding-race", "--switch", "free-after-ent=on"], "Did you mean `free-after-end`?"),
        (["run", "founding-race", "--switch", "free-after-end=perhaps"], "on or off"),
        (["run", "founding-race", "--switch", "free-after-end"], "is not NAME=VALUE"),
        (["run", "founding-race", "--set", "pagez=2"], "Did you mean `pages`?"),
        (["run", "founding-race", "--set", "pages=two"], "`two` is none"),
        (["run", "founding-race", "--driver", "kwm"], "Did you mean `kvm`?"),
        (["run", "founding-race", "--rule", "unpaired-ent"], "Did you mean `unpaired-end`?"),
        (["run", "founding-race", "--log", "no/such/folder/x.jsonl"], "there is no folder no/such/folder"),
        (["run", "founding-race", "--driver", "mine.py"], "There is no file mine.py"),
        (["explore", "founding-race", "--strategy", "guess"], "'guess' is not one of"),
        (["check", "--rule", "unpaired-ent", "x.jsonl"], "Did you mean `unpaired-end`?"),
    ],
)
def test_wrong_use_is_answered_with_a_sentence_and_2(ask: Ask, arguments: list[str], says: str) -> None:
    answer = ask(*arguments)

    assert answer.status == 2
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class Mine(:\n", "SyntaxError"),
        ("import nothing_of_the_kind\n", "nothing_of_the_kind"),
        ("1 / 0\n", "mine.py, line 1"),
        ("x = 1\n", "Say which driver of mine.py is meant"),
    ],
)
def test_a_driver_file_that_does_not_import_says_why(ask: Ask, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    answer = ask("run", "founding-race", "--driver", "mine.py")

    assert answer.status == 2
    assert says in answer.err


def test_our_own_bugs_exit_70_and_say_what_to_report(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from notifierlab import recheck

    def broken(*_arguments: object, **_options: object) -> None:
        raise AssertionError("this cannot be")

    monkeypatch.setattr(recheck, "check_logs", broken)
    answer = ask("check", "x.jsonl")

    assert answer.status == 70
    assert "notifierlab has a bug: AssertionError: this cannot be" in answer.err
    assert f"notifierlab {notifierlab.__version__}" in answer.err
    assert "Traceback" not in answer.err
    with pytest.raises(AssertionError):
        ask("--debug", "check", "x.jsonl")


def test_ctrl_c_exits_130(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from notifierlab import recheck

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recheck, "check_logs", interrupted)

    assert ask("check", "x.jsonl").status == 130


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m notifierlab schema | head -c 10 >/dev/null"],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


# --- the simulator --------------------------------------------------------------------


def test_a_run_is_logged_checked_and_replayed(ask: Ask) -> None:
    ran = ask("run", "kvm-fault-vs-munmap", "--seed", "3", "--log", "run.jsonl", "--json")
    live = json.loads(ran.out)

    assert ran.status == 0, ran.out
    checked = json.loads(ask("check", "run.jsonl", "--json").out)
    assert {key: checked[key] for key in ("verdict", "violations", "steps", "events")} == {
        key: live[key] for key in ("verdict", "violations", "steps", "events")
    }
    replayed = ask("replay", "run.jsonl")
    assert replayed.status == 0
    assert replayed.out.startswith(f"same: all {live['events']} events")


def test_a_replay_stops_at_the_first_difference_and_shows_both(ask: Ask, tmp_path: Path) -> None:
    ask("run", "kvm-fault-vs-munmap", "--log", "run.jsonl")
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines(keepends=True)
    n = next(n for n, line in enumerate(lines) if b'"page_allocated"' in line)
    line = json.loads(lines[n])
    lines[n] = json.dumps({**line, "pfn": line["pfn"] + 1}, separators=(",", ":")).encode() + b"\n"
    (tmp_path / "run.jsonl").write_bytes(b"".join(lines))

    answer = ask("replay", "run.jsonl")
    assert answer.status == 3
    assert f"run.jsonl, line {n + 1}" in answer.out
    assert f'"pfn":{line["pfn"]},' in answer.out
    assert f'"pfn":{line["pfn"] + 1},' in answer.out


def test_explore_finds_the_founding_race_and_tells_it(ask: Ask) -> None:
    answer = ask("explore", "founding-race", "--mutant", "no-take-all-locks")

    assert answer.status == 1
    assert "nobody hears it" in answer.out
    assert answer.out.endswith("replay  notifierlab replay .notifierlab/founding-race.jsonl\n")
    assert ask("replay", ".notifierlab/founding-race.jsonl").out.startswith("same: all")
    assert ask("check", ".notifierlab/founding-race.jsonl").status == 1


@pytest.mark.parametrize("name", ["scenarios", "rules", "profiles", "mutants", "drivers"])
def test_each_list_is_a_table_and_json(ask: Ask, name: str) -> None:
    rows = json.loads(ask(name, "--json").out)
    answer = ask(name)

    assert answer.status == 0
    first = str(next(iter(rows[0].values())))
    assert first in answer.out


@pytest.mark.slow
@pytest.mark.parametrize("command", [["explore", "two-mmus", "--bound", "9", "--runs", "9999999"], ["run", "churn"]])
def test_ctrl_c_ends_the_work_cleanly(command: list[str], tmp_path: Path) -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from notifierlab import bench\n"
        "from notifierlab.cli import main\n"
        "from notifierlab.machine.sched import Machine\n"
        "end, steps = Machine.emit, [0]\n"
        "def emit(self, *what):\n"
        "    steps[0] += 1\n"
        "    if steps[0] == 300:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return end(self, *what)\n"
        "Machine.emit = emit\n"
        f"main({[*command, '--json']!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 130, done.stderr
    result = json.loads(done.stdout)
    assert result["interrupted"]
    assert result["verdict"] == "undecided"


def test_a_driver_that_raises_ends_the_run_with_a_whole_log(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from drivers.kvm import KvmMmu\n\n\n"
        "class Mine(KvmMmu):\n"
        "    async def invalidate_range_start(self, mm, range):\n"
        "        raise ValueError('oops')\n"
    )
    answer = ask("run", "kvm-fault-vs-munmap", "--driver", "mine.py", "--log", "run.jsonl")

    assert answer.status == 1
    assert "ValueError: oops in mine.py:6" in answer.out
    assert b'"ev":"task_raised"' in (tmp_path / "run.jsonl").read_bytes()
    assert json.loads((tmp_path / "run.jsonl").read_bytes().splitlines()[-1])["ended"] == "raised"
    assert ask("replay", "run.jsonl").out.startswith("same: all")
