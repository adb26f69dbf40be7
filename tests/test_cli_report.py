"""`notifierlab report`: the suffix says what is drawn, the verdict is said whatever becomes of it."""

import json
import sys
from pathlib import Path

import pytest

from notifierlab.cli import _guarded
from notifierlab.report import writing
from tests.sample_log import log_bytes

LINES = log_bytes().splitlines(keepends=True)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the sample run as `run.jsonl`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.jsonl").write_bytes(log_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "begins"), [("run.html", b"<!doctype html>"), ("lanes.svg", b"<?xml"), ("run.perfetto-trace", b"\n")]
)
def test_the_suffix_says_what_is_drawn(name: str, begins: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["report", "run.jsonl", "-o", name]) == 1

    assert Path(name).read_bytes().startswith(begins)
    assert capsys.readouterr().out == f"VIOLATED  freed-while-reachable\nwritten  {name}\n"


def test_json_says_what_was_written_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["report", "run.jsonl", "-o", "run.html", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"written": "run.html", "verdict": "violated"}


def test_a_rule_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["report", "run.jsonl", "-o", "run.html", "--rule", "unpaired-end"]) == 1
    assert '<h1 id="verdict">unpaired-end</h1>' in Path("run.html").read_text(encoding="utf-8")

    assert _guarded(["report", "run.jsonl", "-o", "run.html", "--rule", "deadlock"]) == 1
    assert "note: The log shows no violation of deadlock." in capsys.readouterr().out

    assert _guarded(["report", "run.jsonl", "-o", "run.html", "--rule", "deadlok"]) == 2
    assert "Did you mean `deadlock`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("run.htm", "No picture has the suffix of `run.htm`. Did you mean `run.html`? There are: .html,"),
        ("run", "No picture has the suffix of `run`. There are: .html, .perfetto-trace, .svg."),
        ("no/run.html", "Cannot write no/run.html: there is no directory no. Make it first."),
        ("dir.svg", "Cannot write dir.svg: it is a directory. Give the name of a file."),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(
    output: str, says: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "dir.svg").mkdir()

    assert _guarded(["report", "run.jsonl", "-o", output]) == 2
    assert capsys.readouterr().err.startswith(f"Error: {says}")


def test_what_the_system_refuses_is_said_and_so_is_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_path: Path, _data: bytes) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert _guarded(["report", "run.jsonl", "-o", "run.svg", "--json"]) == 2
    said = capsys.readouterr()
    assert said.err == "Error: Cannot write run.svg: Permission denied. Choose another place with -o.\n"
    assert json.loads(said.out) == {"written": None, "verdict": "violated"}


def test_a_picture_that_fails_does_not_hide_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_run: object) -> bytes:
        raise ZeroDivisionError("in the drawing")

    monkeypatch.setitem(writing.FORMS, ".svg", writing.Form(fail))
    assert _guarded(["report", "run.jsonl", "-o", "run.svg"]) == 70
    said = capsys.readouterr()
    assert said.out == "VIOLATED  freed-while-reachable\n"
    assert "notifierlab has a bug: ZeroDivisionError" in said.err
    assert not Path("run.svg").exists()


@pytest.mark.parametrize(("name", "library"), [("run.html", "jinja2"), ("run.perfetto-trace", "perfetto")])
def test_a_missing_extra_is_named_with_what_installs_it(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Absent:
        def find_spec(self, wanted: str, *_rest: object) -> None:
            if wanted.partition(".")[0] == library:
                raise ModuleNotFoundError(wanted)

    for loaded in [each for each in sys.modules if each.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])

    assert _guarded(["report", "run.jsonl", "-o", name]) == 2
    said = capsys.readouterr().err
    assert f"needs {library}, which is not installed, or too old: pip install 'notifierlab[report]'" in said
    assert _guarded(["report", "run.jsonl", "-o", "lanes.svg"]) == 1


def test_a_log_that_was_cut_off_is_drawn_and_undecided(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "cut.jsonl").write_bytes(b"".join(LINES[:8]) + LINES[8][:20])

    assert _guarded(["report", "cut.jsonl", "-o", "cut.html"]) == 3
    said = capsys.readouterr().out
    assert said.startswith("undecided  founding-race\n  note: The log was cut off after 7 events")
    text = Path("cut.html").read_text(encoding="utf-8")
    assert "cut off" in text
    assert '<p class="stamp" id="verdict-word">Undecided</p>' in text


def test_a_log_that_ends_after_its_header_is_drawn(place: Path) -> None:
    (place / "cut.jsonl").write_bytes(LINES[0])
    for name in ("cut.html", "cut.svg", "cut.perfetto-trace"):
        assert _guarded(["report", "cut.jsonl", "-o", name]) == 3


def test_a_log_of_another_version_is_one_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "other.jsonl").write_bytes(LINES[0].replace(b'"format":1', b'"format":2'))

    assert _guarded(["report", "other.jsonl", "-o", "run.html"]) == 2
    assert "format 2" in capsys.readouterr().err
    assert not Path("run.html").exists()


def test_there_is_no_log_and_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert _guarded(["report", "nothing.jsonl", "-o", "run.html"]) == 2
    assert "Cannot read the log nothing.jsonl" in capsys.readouterr().err

    assert _guarded(["report", "run.jsonl"]) == 2
    assert "Missing option '-o'" in capsys.readouterr().err
