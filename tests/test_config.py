"""Options that a project sets once, in its pyproject.toml."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from notifierlab import cli
from notifierlab.config import defaults_from, nearest_file

COMMANDS = cli.notifierlab.commands


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory without a pyproject.toml above it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def said(*arguments: str) -> int:
    return cli._guarded(list(arguments))


def write(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text)
    return path


def searched(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """What `explore --json` says of a small scenario."""
    said(*arguments, "--json")
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_driver_may_be_named_for_all_commands_though_one_command_is_called_so(here: Path) -> None:
    defaults = defaults_from(write(here, '[tool.notifierlab]\ndriver = "kvm"\n'), COMMANDS)
    assert defaults["explore"] == {"driver": "kvm"}


def test_a_key_holds_for_every_command_that_has_the_option(here: Path) -> None:
    path = write(here, '[tool.notifierlab]\nprofile = "v2_6_27"\nbound = 1\nstrict = true\n')
    defaults = defaults_from(path, COMMANDS)

    assert defaults["run"] == {"profile": "v2_6_27", "strict": True}
    assert defaults["explore"] == {"profile": "v2_6_27", "bound": 1, "strict": True}
    assert defaults["check"] == {"strict": True}
    assert "story" not in defaults


def test_the_table_of_a_command_holds_for_it_alone_and_wins(here: Path) -> None:
    path = write(here, "[tool.notifierlab]\nseed = 1\n[tool.notifierlab.explore]\nseed = 2\n")
    defaults = defaults_from(path, COMMANDS)

    assert defaults["run"]["seed"] == 1
    assert defaults["explore"]["seed"] == 2


def test_lists_and_tables_stand_for_repeated_options(here: Path) -> None:
    path = write(
        here,
        '[tool.notifierlab]\nmutant = ["a", "b"]\nrule = "stale-lookup"\n'
        "set = {pages = 2, reuse = true}\nswitch = ['free-after-end=on']\n",
    )
    assert defaults_from(path, COMMANDS)["explore"] == {
        "mutants": ["a", "b"],
        "rules": ["stale-lookup"],
        "params": ["pages=2", "reuse=true"],
        "switches": ["free-after-end=on"],
    }


def test_options_are_taken_and_the_command_line_wins(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, '[tool.notifierlab]\nprofile = "founding"\n[tool.notifierlab.explore]\nbound = 0\nset = {pages = 2}\n')

    taken = searched(capsys, "explore", "kvm-fault-vs-munmap", "--quiet")
    assert "profile founding" in str(taken["about"])
    assert "without a preemption or fault" in str(taken["bound"])
    given = searched(
        capsys, "explore", "kvm-fault-vs-munmap", "--profile", "intended", "--bound", "1", "--runs", "9", "-q"
    )
    assert "profile intended" in str(given["about"])
    assert "cut after 9 runs" in str(given["bound"])
    without = searched(capsys, "--no-config", "run", "kvm-fault-vs-munmap")
    assert "profile intended" in str(without["about"])


def test_help_shows_what_is_taken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "[tool.notifierlab.explore]\nbound = 7\nmutant = ['a', 'b']\nset = {pages = 2}\nquiet = true\n"
    write(here, text)

    assert said("explore", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "[default: 7; x>=0]" in shown
    assert "Switch a deliberate deviation on. [default: a, b]" in shown
    assert "Set a parameter of the scenario. [default: pages=2]" in shown
    assert "Show no progress. [default: True]" in shown
    assert said("--no-config", "explore", "--help") == 0
    assert "[default: a, b]" not in capsys.readouterr().out


def test_the_nearest_file_upwards_is_taken(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = here / "a" / "b"
    inner.mkdir(parents=True)
    assert nearest_file() is None or here not in (nearest_file() or Path()).parents
    upper = write(here, "")
    monkeypatch.chdir(inner)
    assert nearest_file() == upper
    write(inner, "")
    assert nearest_file() == Path("pyproject.toml")


def test_a_file_can_be_given(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, "[tool.notifierlab]\nnonsense = 1\n")
    (here / "other.toml").write_text('[tool.notifierlab]\nprofile = "v2_6_27"\n')

    taken = searched(capsys, "--config", "other.toml", "run", "kvm-fault-vs-munmap")
    assert "profile v2_6_27" in str(taken["about"])


def test_a_file_without_the_table_changes_nothing(here: Path) -> None:
    path = write(here, "[tool.ruff]\nline-length = 100\n")

    assert defaults_from(path, COMMANDS) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bond = 1", "[tool.notifierlab], key `bond`: No command has such an option. Did you mean `bound`?"),
        ("qqqq = 1", "[tool.notifierlab], key `qqqq`: No command has such an option.\n"),
        ("explroe = {bound = 1}", "key `explroe`: No command has such an option. Did you mean `explore`?"),
        (
            "[tool.notifierlab.run]\nbound = 1",
            "[tool.notifierlab.run], key `bound`: `notifierlab run` has no such option.",
        ),
        ('bound = "2"', "key `bound`: '2' should be a whole number."),
        ("bound = true", "key `bound`: True should be a whole number."),
        ("bound = 1.5", "key `bound`: 1.5 should be a whole number."),
        ("bound = -1", "key `bound`: -1 is not in the range x>=0."),
        ("profile = 7", "key `profile`: 7 should be a text."),
        ("rule = [1]", "key `rule`: 1 should be a text."),
        ('strict = "yes"', "key `strict`: 'yes' should be true or false."),
        ('strategy = "bunded"', "key `strategy`: 'bunded' is not one of "),
        ('strategy = "bunded"', "Did you mean `bounded`?"),
        ("explore = 3", "key `explore`: "),
        ("= 3", "is no TOML: "),
    ],
)
def test_what_cannot_be_is_said_with_file_and_key(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    write(here, f"[tool.notifierlab]\n{text}\n")

    assert said("rules") == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: pyproject.toml")
    assert sentence in error
    assert said("--no-config", "rules") == 0


@pytest.mark.parametrize("text", ["[tool]\nnotifierlab = 3\n", "tool = 3\n"])
def test_a_table_that_is_none(here: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    write(here, text)

    assert said("rules") == 2
    assert "should be a table" in capsys.readouterr().err


def test_a_file_that_cannot_be_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said("--config", "nowhere.toml", "rules") == 2
    assert "Cannot read nowhere.toml: No such file or directory." in capsys.readouterr().err
    (here / "pyproject.toml").write_bytes(b"\xff\xfe")
    assert said("rules") == 2
    assert "pyproject.toml is no TOML" in capsys.readouterr().err


def test_every_option_of_every_command_has_a_key() -> None:
    ignored = ("help",)
    for name, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option, click.Option):
                long = [spelling for spelling in option.opts if spelling.startswith("--")]
                assert len(long) == 1, f"{name}: {option.opts}"
                assert long[0][2:] not in ignored


# --- completion -----------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.slow
def test_each_shell_gets_a_script_that_completes(here: Path, shell: str) -> None:
    write(here, "[tool.notifierlab]\nnonsense = 1\n")  # completing must not stumble over it

    def asked(instruction: str, **more: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / "notifierlab"],
            cwd=here,
            env={**os.environ, "_NOTIFIERLAB_COMPLETE": f"{shell}_{instruction}", **more},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    script = asked("source")
    assert "_NOTIFIERLAB_COMPLETE" in script
    assert f"{shell}_complete" in script
    words = {"COMP_WORDS": "notifierlab explore --str", "COMP_CWORD": "--str" if shell == "fish" else "2"}
    assert "--strategy" in asked("complete", **words)
