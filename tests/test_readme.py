"""What README shows is what is printed."""

import re
from pathlib import Path

import pytest

from notifierlab.cli import main, notifierlab
from notifierlab.config import defaults_from

pytest_plugins = ["pytester"]

README = Path(__file__).parent.parent / "README.md"


def test_the_story_on_the_first_screen_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.search(r"```console\n\$ notifierlab (.*?)\n(.*?)\n```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    with pytest.raises(SystemExit) as end:
        main(shown[1].split())
    assert end.value.code == 1
    assert shown[2] in capsys.readouterr().out


def test_its_configuration_is_one(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(shown)

    taken = defaults_from(tmp_path / "pyproject.toml", notifierlab.commands)
    assert taken["explore"] == {
        "profile": "v2_6_27",
        "bound": 1,
        "mutants": ["no-take-all-locks"],
        "params": ["pages=2"],
    }


def test_its_test_passes(pytester: pytest.Pytester) -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    pytester.makepyfile(test_it=f"import pytest\n\n{shown}")

    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--interleave-bound", "0").assert_outcomes(passed=1)


def test_its_two_jobs_are_commands_that_ci_takes_from_it() -> None:
    text = README.read_text(encoding="utf-8")
    for heading in ("## Run it", "## Test it"):
        block = re.search(rf"^{heading}$.*?```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE)
        assert block is not None
        assert block[1].startswith("python3 -m venv .venv\n.venv/bin/pip install ")
