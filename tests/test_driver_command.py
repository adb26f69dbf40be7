"""`notifierlab driver`: a first driver, wrong use, and what hangs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from notifierlab.conformance.entrance import driver_called, refuse_unmakable
from notifierlab.conformance.skeleton import write_skeleton
from notifierlab.conformance.suite import Plan, run_suite
from notifierlab.conformance.watchdog import Children, Died, Done, Hung, Refused, Task
from notifierlab.errors import InputError

Change = tuple[str, str]


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(name: str, *changes: Change) -> str:
    """Write a first driver with some changes; return its file."""
    file, _ = write_skeleton(name)
    text = Path(file).read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    Path(file).write_text(text)
    return file


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "notifierlab", "driver", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


# --- a first driver -----------------------------------------------------------------


@pytest.mark.slow
def test_a_first_driver_and_its_test_pass() -> None:
    answer = command("--new", "mydevice")
    assert answer.returncode == 0
    assert answer.stdout == (
        "wrote mydevice.py and test_mydevice.py; try\n  pytest test_mydevice.py\n  notifierlab driver mydevice.py\n"
    )
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mydevice.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    judged = command("mydevice.py", "--bound", "1", "--runs", "50", "--quiet")
    assert judged.returncode == 0
    assert judged.stdout.startswith("no violation  Mydevice (mydevice.py:")
    assert judged.stderr == ""


def test_nothing_is_overwritten() -> None:
    Path("test_mine.py").write_text("mine")

    with pytest.raises(InputError, match=r"There is a test_mine.py already, and it stays as it is"):
        write_skeleton("mine")
    assert not Path("mine.py").exists()
    assert Path("test_mine.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["2bad", "Über", "class", "a-b", ""])
def test_a_name_that_is_no_module_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a module"):
        write_skeleton(name)


# --- the five mistakes of a newcomer ------------------------------------------------

LATE = (
    (
        (
            "        async with self.lock:\n            seq = self.seq\n        async with self.mm.mmap_sem.read():\n"
            "            lookup = await shadow.look_up(self.name, self.mm, va, write=write)\n"
        ),
        (
            "        async with self.mm.mmap_sem.read():\n"
            "            lookup = await shadow.look_up(self.name, self.mm, va, write=write)\n"
            "        async with self.lock:\n            seq = self.seq\n"
        ),
    ),
)
FLAG = (("self.windows_open += 1", "self.windows_open = 1"), ("self.windows_open -= 1", "self.windows_open = 0"))
NO_PUT = (("        await self.mm.host.memory.put(lookup.page, self.name)\n", ""),)
NO_RELEASE = (("            self.table.drop_all()", "            pass"),)
UNLOCKED = (("        async with self.lock:\n            retry", "        if True:\n            retry"),)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "obligation", "line"),
    [
        (LATE, "fail-look-ups-in-flight", "self.table.put(va, lookup.page, write=write, lookup=lookup.id)"),
        (FLAG, "count-windows", "self.windows_open = 1"),
        (NO_PUT, "balance-references", "lookup = await shadow.look_up(self.name, self.mm, va, write=write)"),
        (NO_RELEASE, "let-go-at-release", "self.table.put(va, lookup.page, write=write, lookup=lookup.id)"),
        (UNLOCKED, "synchronise", "retry = self.windows_open > 0 or self.seq != seq"),
    ],
    ids=["samples late", "a flag for a count", "no put", "no release", "no lock"],
)
def test_a_newcomer_s_mistake_gets_the_right_answer(changes: tuple[Change, ...], obligation: str, line: str) -> None:
    file = written("mydevice", *changes)

    answer = command(file, "--bound", "1", "--runs", "300", "--quiet", "--json")
    assert answer.returncode == 1
    found = json.loads(answer.stdout)
    assert found["verdict"] == "violated"
    assert obligation in [row["obligation"] for row in found["obligations"] if row["verdict"] == "violated"]
    told = next(each for each in found["violations"] if each["obligation"] == obligation)
    assert any(line in each for each in told["lines"]), told["lines"]
    assert told["hint"]
    replayed = subprocess.run(
        [sys.executable, "-m", *told["replay"].split()], capture_output=True, text=True, check=False
    )
    assert replayed.returncode == 1
    assert replayed.stdout.startswith("same: all")


# --- wrong use ----------------------------------------------------------------------


def loaded(file: str, name: str = "Mydevice") -> None:
    driver = driver_called(f"{file}:{name}")
    refuse_unmakable(driver, name)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ((("import (\n    Abilities", "import (\n    Nothing,\n    Abilities"),), "does not import: ImportError"),
        (
            (('    counter = "windows_open"', "    counter = = 1"),),
            r"SyntaxError: invalid syntax \(mydevice.py, line 33\)",
        ),
        (
            (("class Mydevice(SharedState, MmuNotifier)", "class Mydevice(SharedState)"),),
            r"`Mydevice` \(mydevice.py:25\) is no driver: it must be a subclass of MmuNotifier",
        ),
        (
            (("def __init__(self, mm: Mm)", "def __init__(self, mm: Mm, slots: int)"),),
            r"cannot be made by `Mydevice\(mm\)`: missing a required argument: 'slots'",
        ),
        (
            (
                ("    async def release(self", "    def release(self"),
                ("        async with self.lock:\n            self.table.drop_all()", "        pass"),
            ),
            r"`release` \(mydevice.py:\d+\) is not async, so nothing .*; write `async def release\(self, mm\)`",
        ),
        (
            (
                (
                    "async def invalidate_page(self, mm: MmStruct, address: Va)",
                    "async def invalidate_page(self, address: Va)",
                ),
            ),
            r"`invalidate_page` .* takes other arguments than the host gives",
        ),
        ((("    async def close(self)", "    async def shut(self)"),), "has no `close`, so nobody can drive it"),
        ((("value: int, context: int = 0)", "value: int)"),), "`access` .* does not fit"),
        (
            (("    abilities = Abilities(contexts=1, writes=True)", "    abilities = {'writes': True}"),),
            "has `abilities` of type dict",
        ),
        (
            (("Abilities(contexts=1,", "Abilities(contexts='one',"),),
            r"Abilities\(contexts='one'\): Input should be a valid integer",
        ),
        (
            (('super().__init__(mm.host.machine, f"mydevice.{mm.name}")', "super().__init__(mm.host.machine)"),),
            "cannot be made: it raises TypeError",
        ),
    ],
    ids=lambda each: "" if isinstance(each, tuple) else each[:30],
)
def test_what_is_no_driver_is_refused_in_a_sentence(changes: tuple[Change, ...], says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        loaded(written("mydevice", *changes))
    assert len(str(refused.value).splitlines()) == 1


def test_what_is_not_there_is_answered_with_what_is() -> None:
    file = written("mydevice")
    with pytest.raises(InputError, match=r"There is no file nothere.py to take a driver from"):
        driver_called("nothere.py:X")
    with pytest.raises(InputError, match="Did you mean `Mydevice`"):
        driver_called(f"{file}:Mydevise")


def test_an_abstract_driver_is_refused() -> None:
    file = written(
        "mydevice",
        ("class Mydevice(SharedState, MmuNotifier):", "class Mydevice(SharedState, MmuNotifier, metaclass=Meta):"),
        ("class Mydevice(", "class Meta(type(SharedState), abc.ABCMeta):\n    pass\n\n\nclass Mydevice("),
        ("from notifierlab import (", "import abc\n\nfrom notifierlab import ("),
        ("    async def open(", "    @abc.abstractmethod\n    def ring(self) -> None: ...\n\n    async def open("),
    )
    with pytest.raises(InputError, match=r"is abstract: it lacks ring. Name the class that has them"):
        loaded(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "Name a DRIVER, or begin one with --new NAME."),
        (("nothere",), 2, "There is no driver `nothere`."),
        (("mirror", "--profile", "intendet"), 2, "Did you mean `intended`?"),
        (("mirror", "--rule", "stale-lookups"), 2, "Did you mean `stale-lookup`?"),
        (("mirror", "--new", "x"), 2, "--new writes a driver, it judges none"),
        (("mirror", "--bound", "0", "--runs", "1", "--rule", "young-lost"), 3, ""),
    ],
)
def test_the_exit_status_says_how_it_went(arguments: tuple[str, ...], status: int, says: str) -> None:
    answer = command(*arguments)

    assert answer.returncode == status
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr


PAGE_GOES = '"""One page goes as soon as this returns."""'


@pytest.mark.slow
@pytest.mark.parametrize("call", ["sleep(0)", "sleep(1)", "lowlevel.checkpoint()"])
def test_a_callback_that_awaits_trio_is_named_by_its_line(call: str) -> None:
    file = written("mydevice", (PAGE_GOES, f"import trio\n\n        await trio.{call}"))
    line = 1 + Path(file).read_text().splitlines().index(f"        await trio.{call}")

    with pytest.raises(InputError, match=rf"mydevice.py:{line}\b"):
        run_suite(Plan(driver=file))


@pytest.mark.slow
def test_a_callback_that_never_ends_is_named_by_its_line() -> None:
    file = written("mydevice", (PAGE_GOES, "while self.seq >= 0:\n            pass"))
    first = 1 + Path(file).read_text().splitlines().index("        while self.seq >= 0:")

    with pytest.raises(InputError) as hangs:
        run_suite(Plan(driver=file, hang_seconds=2.0))

    assert any(
        f"hangs at {Path(file).absolute()}, line {line}, in invalidate_page" in str(hangs.value)
        or f"hangs at {file}, line {line}, in invalidate_page" in str(hangs.value)
        for line in (first, first + 1)
    ), str(hangs.value)
    assert "no step ended for 2 s" in str(hangs.value)


@pytest.mark.slow
def test_a_module_that_never_ends_is_named_too() -> None:
    file = written("mydevice", ("class Mydevice", "while True:\n    pass\n\n\nclass Mydevice"))

    with pytest.raises(InputError, match=r"mydevice.py, line \d+, in <module> \(while it was loaded\)"):
        run_suite(Plan(driver=file, hang_seconds=2.0))


# --- the watchdog -------------------------------------------------------------------


def double(number: int, *, beat: Callable[[], None]) -> int:
    beat()
    return 2 * number


def refuse(*, beat: Callable[[], None]) -> None:
    error = InputError("no")
    error.add_note("not today")
    raise error


def leave(*, beat: Callable[[], None]) -> None:
    os._exit(7)


def stumble(*, beat: Callable[[], None]) -> None:
    raise ZeroDivisionError


def spin(*, beat: Callable[[], None]) -> None:
    while True:
        pass


@pytest.mark.slow
def test_children_do_what_they_are_given_and_say_how_it_went() -> None:
    tasks = [
        Task(double, (4,), ""),
        Task(refuse, (), ""),
        Task(leave, (), ""),
        Task(stumble, (), ""),
        Task(spin, (), ""),
        Task(double, (5,), ""),
    ]
    with Children(2, hang_seconds=1.5) as children:
        answers = dict(children.run(tasks))
        assert children.runs == 2

    assert answers[0] == Done(8)
    assert answers[1] == Refused("no", ("not today",))
    assert isinstance(answers[2], Died)
    assert "exit status 7" in answers[2].report
    assert isinstance(answers[3], Died)
    assert "ZeroDivisionError" in answers[3].report
    assert isinstance(answers[4], Hung)
    assert Path(answers[4].file).name == Path(__file__).name
    assert answers[4].name == "spin"
    assert answers[5] == Done(10)


@pytest.mark.slow
def test_ctrl_c_ends_the_suite_with_what_is_known() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "notifierlab", "driver", "odp", "--bound", "2", "--runs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert process.stderr is not None
    # Progress says that runs are being made.
    assert "runs" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert out.startswith("undecided  Odp (")
    assert "  interrupted: " in out
