"""Scenarios, drivers and mutants are found by name, by place, or not at all with a reason."""

from pathlib import Path

import pytest

from notifierlab import catalogue
from notifierlab.errors import InputError
from notifierlab.request import Request


def test_a_driver_is_found_by_name_by_module_and_by_file(tmp_path: Path) -> None:
    from drivers.kvm import KvmMmu

    (tmp_path / "own_driver.py").write_text(
        "from drivers.kvm import KvmMmu\n\n\nclass Own(KvmMmu):\n    '''One of ours.'''\n"
    )
    assert catalogue.driver("kvm") is KvmMmu
    assert catalogue.driver("drivers.kvm:KvmMmu") is KvmMmu
    assert catalogue.driver(f"{tmp_path}/own_driver.py").__name__ == "Own"
    assert catalogue.driver(f"{tmp_path}/own_driver.py:Own").__name__ == "Own"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("drivers.kvm:KvmMu", "Did you mean `KvmMmu`?"),
        ("drivers.kvm:PAGE_SIZE", "is no driver: it must be a class"),
        ("no.such.module:Driver", "does not import: ModuleNotFoundError"),
    ],
)
def test_a_wrong_place_is_answered(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("?", r"\?")):
        catalogue.driver(name)


def test_a_driver_takes_the_place_of_its_kind_alone(tmp_path: Path) -> None:
    (tmp_path / "own_gru.py").write_text(
        "from drivers.gru import GruMmu\n\n\nclass Own(GruMmu):\n    '''One of ours.'''\n"
    )
    spec = Request(scenario="two-mmus", driver=f"{tmp_path}/own_gru.py").resolve()

    assert spec.drivers["gru"].__name__ == "Own"
    assert spec.drivers["kvm"] is catalogue.driver("kvm")


def test_two_that_take_the_same_place_are_refused() -> None:
    mutants = [each.name for each in catalogue.mutants().values() if each.driver and each.name.startswith("kvm")]

    with pytest.raises(InputError, match="both take the place of the driver `kvm`: drop one"):
        Request(scenario="founding-race", mutants=tuple(mutants[:2])).resolve()


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("off", False), ("1", True)])
def test_yes_and_no_are_read_as_the_parameter_wants(tmp_path: Path, text: str, value: bool) -> None:
    (tmp_path / "own_scene.py").write_text(
        "async def scene(host, *, flag: bool = False, rate: float = 0.5, what: str = 'x') -> None:\n"
        "    '''A scene.'''\n"
    )
    scenario = f"{tmp_path}/own_scene.py:scene"
    spec = Request(scenario=scenario, params={"flag": text, "rate": "0.25", "what": "7"}).resolve()

    assert spec.params == {"flag": value, "rate": 0.25, "what": "7"}
    with pytest.raises(InputError, match="is yes or no; `maybe` is neither"):
        Request(scenario=scenario, params={"flag": "maybe"}).resolve()


def test_a_scenario_without_parameters_says_so(tmp_path: Path) -> None:
    (tmp_path / "bare_scene.py").write_text("async def scene(host) -> None:\n    '''A scene.'''\n")

    with pytest.raises(InputError, match="has no parameters, so `--set pages="):
        Request(scenario=f"{tmp_path}/bare_scene.py", params={"pages": "2"}).resolve()


def test_a_parameter_that_must_be_set_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "needy_scene.py").write_text("async def scene(host, *, pages: int) -> None:\n    '''A scene.'''\n")

    with pytest.raises(InputError, match="needs `pages`: give it with --set pages=VALUE"):
        Request(scenario=f"{tmp_path}/needy_scene.py:scene").resolve()
