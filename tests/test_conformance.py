"""The conformance suite: correct drivers are clean, each broken one breaks the obligation that it should."""

from pathlib import Path
from typing import Any

import pytest

from drivers import broken_mirror, broken_odp
from drivers.broken import MUTANTS
from drivers.gru import GruMmu
from drivers.kvm import KvmMmu
from drivers.mirror import Mirror
from drivers.odp import Odp
from notifierlab import Abilities, catalogue, check_driver, Mm, needs, Va
from notifierlab.checker import RULES
from notifierlab.conformance.abilities import abilities_of, needs_of, WORDS
from notifierlab.conformance.cells import Cell, cells_for, Effort, left_out
from notifierlab.conformance.obligations import HOST, OBLIGATIONS, of_rule, owed
from notifierlab.conformance.suite import DriverAtFault
from notifierlab.errors import InputError


@pytest.fixture(autouse=True)
def _logs_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- the table ----------------------------------------------------------------------


def test_every_rule_is_judged_by_exactly_one_obligation() -> None:
    rules = [rule for each in (*OBLIGATIONS, HOST) for rule in each.rules]

    assert sorted(rules) == sorted(rule.id for rule in RULES if not rule.strict)
    assert of_rule("stale-lookup").id == "fail-look-ups-in-flight"
    assert of_rule("freed-unannounced") is HOST


def test_an_obligation_says_what_is_owed_and_where_that_stands() -> None:
    for each in (*OBLIGATIONS, HOST):
        assert each.sentence.endswith(".")
        assert each.pointer.startswith("K ")
        assert not each.needs or each.needs in WORDS


def test_what_is_owed_depends_on_what_the_device_can_do() -> None:
    ids = [each.id for each in owed(abilities_of(Mirror))]

    assert "report-use" not in ids
    assert "pass-dirty-on" in ids
    assert "report-use" in [each.id for each in owed(abilities_of(Odp))]


# --- abilities ----------------------------------------------------------------------


def test_callbacks_show_abilities_and_the_class_declares_the_rest() -> None:
    assert abilities_of(Mirror) == ("windows", "pages", "release", "writes", "sleeping")
    assert abilities_of(Odp) == (
        "windows",
        "pages",
        "young",
        "release",
        "contexts",
        "writes",
        "sleeping",
        "outlives_process",
    )


@pytest.mark.parametrize("wrong", [{"contexts": "two"}, {"contexts": 0}, {"speed": 3}])
def test_a_wrong_declaration_is_answered_with_what_there_is(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"Abilities\(.*there are: contexts, writes"):
        Abilities(**wrong)


def test_a_scenario_cannot_need_what_there_is_not() -> None:
    with pytest.raises(ValueError, match="there is no ability 'wings'"):
        needs("wings")


def test_a_scenario_is_left_out_for_want_of_an_ability() -> None:
    assert left_out(Mirror)["young"] == ["device-ageing"]
    assert "device-ageing" not in [cell.scenario for cell in cells_for(Mirror, ["intended"])]
    assert left_out(Odp) == {"change_pte": ["device-change-pte"]}


def test_a_driver_that_looks_up_in_two_ways_is_driven_in_both() -> None:
    names = [cell.name for cell in cells_for(GruMmu, ["intended"])]

    assert "device-vs-munmap" in names
    assert "device-vs-munmap+atomic" in names
    assert "gru-steal" in names  # those of its own kind, too
    assert "dirty-log-vs-guest" not in names
    assert "dirty-log-vs-guest" in [cell.name for cell in cells_for(KvmMmu, ["intended"])]


def test_every_profile_has_its_cells() -> None:
    cells = cells_for(Mirror, ["intended", "v2_6_32"])

    assert [cell.scenario for cell in cells if cell.profile == "intended"] == [
        cell.scenario for cell in cells if cell.profile == "v2_6_32"
    ]


def test_scenarios_of_the_suite_ask_for_the_device_only() -> None:
    for name in catalogue.scenario_names():
        assert (needs_of(catalogue.scenario(name)) is not None) == name.startswith("device-"), name


# --- drivers ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_correct_driver_keeps_every_obligation() -> None:
    findings = check_driver(Mirror, bound=1, runs=40)

    assert findings.clean
    assert findings.rules == ()
    assert {row.verdict for row in findings.rows} <= {"proved", "no-violation-within"}
    assert all(row.orders > 0 for row in findings.rows)
    # A device without a shadow table of its own does not owe what is about one.
    assert "drop-all-in-range" not in [row.obligation.id for row in findings.rows]
    assert "does not arise: " in findings.as_text()


@pytest.mark.slow
@pytest.mark.parametrize("driver", [Mirror, Odp, KvmMmu, GruMmu])
def test_the_drivers_of_the_house_are_clean(driver: type[Any]) -> None:
    assert check_driver(driver, bound=1, runs=500).clean


BROKEN = {
    driver: mutant.rules
    for mutant in MUTANTS.values()
    for driver in [mutant.driver]
    if driver is not None and driver.__module__ in (broken_mirror.__name__, broken_odp.__name__)
}


def test_each_way_to_break_them_is_a_mutant() -> None:
    own = [
        thing
        for module in (broken_mirror, broken_odp)
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ == module.__name__
    ]
    assert len(own) == 21
    assert all(each in BROKEN for each in own)


@pytest.mark.slow
@pytest.mark.parametrize("driver", BROKEN, ids=lambda driver: driver.__name__)
def test_each_broken_driver_is_caught_by_a_rule_that_its_table_names(driver: type[Any]) -> None:
    with pytest.raises(DriverAtFault) as caught:
        check_driver(driver, bound=1, runs=400)

    assert set(caught.value.findings.rules) & set(BROKEN[driver])


@pytest.mark.slow
def test_a_broken_driver_is_told_with_its_story_its_lines_and_the_replay() -> None:
    with pytest.raises(DriverAtFault) as caught:
        check_driver(broken_mirror.MirrorHearsRangesOnly, bound=1, runs=40)

    findings = caught.value.findings
    text = str(caught.value)
    assert findings.verdict == "violated"
    assert findings.exit_status == 1
    assert "let-go-before-free" in findings.broken
    assert text.startswith("MirrorHearsRangesOnly does not keep what it owes")
    assert "to do: drop and flush in invalidate_range_start, invalidate_page and release" in text
    assert "the driver's lines that took part" in text
    row = next(row for row in findings.rows if row.obligation.id == "let-go-before-free")
    assert f"notifierlab replay {row.found[0].log}" in text
    assert Path(row.found[0].log).exists()
    as_json = findings.as_json()
    assert as_json["verdict"] == "violated"
    assert isinstance(as_json["violations"], list)
    assert as_json["violations"][0]["replay"] == f"notifierlab replay {row.found[0].log}"


@pytest.mark.slow
def test_the_log_of_a_broken_driver_replays() -> None:
    from notifierlab import bench

    with pytest.raises(DriverAtFault) as caught:
        check_driver(broken_mirror.MirrorHearsRangesOnly, bound=1, runs=40, rules=("wrong-data",))

    log = next(found.log for row in caught.value.findings.rows for found in row.found if found.log)
    outcome, text = bench.replay_log(log)
    assert text.startswith("same: all")
    assert outcome.verdict == "violated"


@pytest.mark.slow
def test_one_rule_alone_is_looked_for_when_asked() -> None:
    findings = check_driver(broken_mirror.MirrorHearsRangesOnly, bound=1, runs=40, rules=("pin-imbalance",))

    assert [row.obligation.id for row in findings.rows] == ["balance-references"]


@pytest.mark.slow
def test_a_hole_of_the_profile_is_named_beside_what_it_predicts() -> None:
    with pytest.raises(DriverAtFault, match="it has the hole unlink-before-release"):
        check_driver(Mirror, profiles=("v2_6_32",), bound=1, runs=30, rules=("release-gap", "freed-while-reachable"))


def test_a_maker_need_not_be_a_class() -> None:
    def made(mm: Mm) -> Mirror:
        return Mirror(mm)

    assert check_driver(made, bound=0, runs=5).clean


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"profiles": ("intendet",)}, "Did you mean `intended`"), ({"rules": ("stale-lookups",)}, "`stale-lookup`")],
)
def test_a_wrong_name_is_answered(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_driver(Mirror, **wrong)


@pytest.mark.slow
def test_what_nothing_puts_to_the_test_is_undecided() -> None:
    with pytest.raises(DriverAtFault) as caught:
        check_driver(Mirror, bound=0, runs=1, rules=("young-lost",))

    assert caught.value.findings.verdict == "undecided"
    assert caught.value.findings.exit_status == 3


class Lazy(Mirror):
    """Says that there is no memory."""

    async def fault(self, va: Va, *, write: bool) -> bool:
        return False


@pytest.mark.slow
def test_a_device_that_finds_no_memory_where_there_is_some_is_caught() -> None:
    with pytest.raises(DriverAtFault) as caught:
        check_driver(Lazy, bound=0, runs=3)

    assert caught.value.findings.broken == ("see-the-same-memory",)


def test_an_effort_and_a_cell_say_what_they_are() -> None:
    assert Effort().bound == 2
    assert Cell(scenario="device-vs-munmap", params={"atomic": True}).name == "device-vs-munmap+atomic"
