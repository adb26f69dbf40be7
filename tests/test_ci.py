"""What machines get that show results to people: JUnit XML and annotations of GitHub."""

import json
import re
from pathlib import Path

import pytest
from junitparser import Error, Failure
from junitparser.xunit2 import JUnitXml, TestCase

from notifierlab.cli import _guarded
from notifierlab.events import Violation
from notifierlab.report.ci import annotations, ANNOTATIONS_MAX, junit, Place
from notifierlab.report.outcome import Outcome
from tests.sample_log import log_bytes

TestCase.__test__ = False  # no test of ours


def violation(n: int = 1, message: str = "the end came twice") -> Violation:
    return Violation(rule="unpaired-end", message=message, step=n, task="main", objects=(f"win{n}.0",))


def outcome(verdict: str = "violated", *violations: Violation, **more: object) -> Outcome:
    values: dict[str, object] = {
        "about": "a-scenario (profile intended)",
        "bound": "all 3 orders",
        "runs": 3,
        "steps": 9,
    }
    return Outcome(verdict=verdict, violations=violations, **{**values, **more})  # type: ignore[arg-type]


def cases(xml: bytes) -> list[TestCase]:
    """The test cases, as a reader of JUnit XML sees them; what the suite counts is right."""
    (suite,) = JUnitXml.fromstring(xml)
    found = [case for case in suite if isinstance(case, TestCase)]
    kinds = [type(result) for case in found for result in case.result]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (
        len(found),
        kinds.count(Failure),
        kinds.count(Error),
        0,
    )
    return found


def properties(case: TestCase) -> dict[str, str]:
    return {each.name: each.value for each in case.properties()}  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("verdict", ["proved", "no-violation-within"])
def test_what_is_clean_is_a_case_that_passes(verdict: str) -> None:
    (case,) = cases(junit(outcome(verdict, seconds=1.5), "explore"))

    assert case.classname == "notifierlab.explore"
    assert case.name == "a-scenario (profile intended)"
    assert case.is_passed
    assert case.time == 1.5
    assert properties(case) == {"verdict": verdict, "bound": "all 3 orders", "runs": "3", "steps": "9"}


def test_a_violation_is_a_failure_with_its_story_and_its_log(tmp_path: Path) -> None:
    log = str(tmp_path / "run.jsonl")
    (case,) = cases(
        junit(
            outcome("violated", violation(), violation(2), logs={"unpaired-end": log}, story="step  main\n"), "explore"
        )
    )
    (failure,) = case.result

    assert failure.type == "unpaired-end"
    assert failure.message == "unpaired-end: the end came twice"
    assert failure.text.count("the end came twice") == 2
    assert "step  main" in failure.text
    assert case.system_out == f"[[ATTACHMENT|{log}]]\n"
    assert properties(case)["attachment"] == log


def test_what_is_undecided_does_not_pass() -> None:
    (case,) = cases(junit(outcome("undecided", notes=("not exercised: young-lost",)), "explore"))
    (error,) = case.result

    assert isinstance(error, Error)
    assert error.type == "undecided"
    assert "young-lost" in error.text


def test_each_log_is_a_case_and_what_they_show_together_is_one_more() -> None:
    found = outcome("violated", violation(1), violation(2), violation(3), about="a, b, c", where=("b", "b", "together"))
    names = {case.name: len(case.result) for case in cases(junit(found, "check", ("a", "b", "c")))}

    assert names == {"a": 0, "b": 1, "c": 0, "a, b, c": 1}


def test_signs_that_xml_cannot_have_are_left_out() -> None:
    (case,) = cases(junit(outcome("violated", violation(message='a\x00b<&>"\x1b[1mé━')), "run"))

    assert case.result[0].message == 'unpaired-end: ab<&>"[1mé━'


# --- GitHub -------------------------------------------------------------------------


def test_what_is_clean_is_not_annotated() -> None:
    assert annotations(outcome("proved"), Place("drivers/mine.py", 7)) == []


def test_a_violation_is_an_error_beside_the_code() -> None:
    (line,) = annotations(
        outcome("violated", violation(4, "100%\nsure"), logs={"unpaired-end": "run.jsonl"}), Place("a,b:c.py", 7)
    )

    assert line == (
        "::error file=a%2Cb%3Ac.py,line=7,title=notifierlab%3A unpaired-end"
        "::100%25%0Asure (step 4; notifierlab replay run.jsonl)"
    )


def test_no_more_are_printed_than_are_shown() -> None:
    many = outcome("violated", *(violation(n) for n in range(30)))

    assert len(annotations(many)) == ANNOTATIONS_MAX


def test_undecided_is_a_warning() -> None:
    assert annotations(outcome("undecided", notes=("cut off",))) == [
        "::warning title=notifierlab%3A undecided::a-scenario (profile intended); cut off"
    ]


# --- the commands -------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "run.jsonl").write_bytes(log_bytes())
    return tmp_path


def test_check_tells_ci_of_a_log(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["check", "run.jsonl", "--junit", "out.xml", "--annotations", "github"]) == 1
    out = capsys.readouterr().out

    (case,) = cases((here / "out.xml").read_bytes())
    assert (case.classname, case.name) == ("notifierlab.check", "run.jsonl")
    assert isinstance(case.result[0], Failure)
    assert "\n::error file=run.jsonl,line=1,title=notifierlab%3A freed-while-reachable::" in out


def test_annotations_beside_json_go_elsewhere(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["check", "run.jsonl", "run.jsonl", "--json", "--annotations", "github"]) == 1
    said = capsys.readouterr()

    assert json.loads(said.out)["verdict"] == "violated"
    assert said.err.startswith("::error file=run.jsonl,line=1,")


@pytest.mark.slow
def test_a_search_and_a_run_tell_ci_where_the_code_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = ["explore", "kvm-fault-vs-munmap", "--mutant", "kvm-start-never-clears", "--quiet"]
    assert _guarded([*search, "--junit", "out.xml", "--annotations", "github"]) == 1
    said = capsys.readouterr()

    (case,) = cases((here / "out.xml").read_bytes())
    assert case.result[0].type == "freed-while-reachable"
    assert "━━━▶" in case.result[0].text
    assert case.system_out == f"[[ATTACHMENT|{here}/.notifierlab/kvm-fault-vs-munmap.jsonl]]\n"
    place = re.search(r"^::error file=(\S+),line=(\d+),title=notifierlab%3A freed-while-reachable::", said.out, re.M)
    assert place is not None
    line = Path(place[1]).read_text().splitlines()[int(place[2]) - 1]
    assert line.startswith("class KvmStartNeverClears")
    assert said.err == ""

    assert _guarded(["run", "kvm-fault-vs-munmap", "--junit", "run.xml", "--annotations", "github"]) == 0
    (case,) = cases((here / "run.xml").read_bytes())
    assert case.is_passed
    assert "::" not in capsys.readouterr().out


def test_xml_that_cannot_be_written_is_said_before_the_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["check", "run.jsonl"], ["run", "founding-race"], ["explore", "founding-race"]):
        assert _guarded([*command, "--junit", "nowhere/out.xml"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "Cannot write nowhere/out.xml: there is no folder nowhere." in said.err


def test_a_story_is_data_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["story", "run.jsonl", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)

    assert told["verdict"] == "violated"
    assert told["violation"]["rule"] == "freed-while-reachable"
    assert told["replay"] == "notifierlab replay run.jsonl"
    assert told["why"] is None
    (strong,) = [row for row in told["story"] if row["violation"]]
    assert strong["text"].startswith("freed-while-reachable: ")
    assert len(told["story"]) > 3

    assert _guarded(["story", "run.jsonl", "--json", "--rule", "young-lost"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["violation"], told["story"]) == ("no-violation-within", None, [])


def test_every_command_prints_json(here: Path) -> None:
    from notifierlab.cli import notifierlab

    without = [
        name
        for name, command in notifierlab.commands.items()
        if "as_json" not in [each.name for each in command.params]
    ]
    assert without == ["schema"], "which is JSON anyway"
