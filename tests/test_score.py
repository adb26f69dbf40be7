"""Faulty variants are made where people err, and what the suite says of each is counted."""

import ast
from pathlib import Path
from typing import Any

import pytest

import drivers.mirror
from drivers.mirror import Mirror
from notifierlab import Host
from notifierlab.conformance import proofs, score
from notifierlab.conformance.cells import Cell, Effort
from notifierlab.conformance.mutate import Variant, variants
from notifierlab.conformance.score import Fate, run_score, Score
from notifierlab.conformance.suite import Plan
from notifierlab.errors import InputError
from notifierlab.explore.run import RunSpec
from notifierlab.mm.profile import PRESETS
from notifierlab.request import Request

SWITCHES = PRESETS["intended"].switches()
SOURCE = Path(drivers.mirror.__file__).read_text()

SMALL = '''
class Driver:
    """Says what it is."""

    def __init__(self, mm):
        self.profile = mm.profile
        self.pinned = self.profile.kvm_pinned_sptes

    async def invalidate_range_start(self, mm, range):
        """Drop and flush."""
        async with self.lock:
            self.count += 1
            await self.flush()

    async def fault(self, va):
        seq = self.seq
        page = await self.mm.look_up(va)
        assert page
        async with self.lock:
            if self.count > 0 or self.seq != seq:
                return False
            self.table.put(page)
            self.mm.emit("mapped")
            if self.pinned:
                await self.keep(page)
        return True
'''


def made(text: str = SMALL, **switches: bool) -> list[Variant]:
    return variants(text, {**SWITCHES, **switches})


def changed(variant: Variant, original: str = SMALL) -> tuple[list[str], list[str]]:
    """The lines that went and those that came."""
    lines = variant.diff(original, "driver.py").splitlines()[2:]
    return (
        [line[1:].strip() for line in lines if line.startswith("-")],
        [line[1:].strip() for line in lines if line.startswith("+")],
    )


# --- what is made -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "where", "went", "came"),
    [
        ("ignores the callback", "Driver.invalidate_range_start", 3, ["return"]),
        ("leaves it out", "Driver.invalidate_range_start", 1, ["pass"]),
        ("takes no lock", "Driver.invalidate_range_start", 1, ["if True:"]),
        ("does it after the lock", "Driver.invalidate_range_start", 1, ["pass", "await self.flush()"]),
        ("does it before the lock", "Driver.invalidate_range_start", 1, ["self.count += 1", "pass"]),
        ("swaps two", "Driver.fault", 1, ["page = await self.mm.look_up(va)"]),
        ("compares by >", "Driver.fault", 1, ["if self.count > 0 or self.seq > seq:"]),
        ("compares by >=", "Driver.fault", 1, ["if self.count >= 0 or self.seq != seq:"]),
        ("says and", "Driver.fault", 1, ["if (self.count > 0) and (self.seq != seq):"]),
        ("forgets one condition", "Driver.fault", 1, ["if self.seq != seq:"]),
        ("ignores the case", "Driver.fault", 1, ["if False:"]),
        ("takes the opposite", "Driver.fault", 1, ["if not (self.count > 0 or self.seq != seq):"]),
        ("says the opposite", "Driver.fault", 1, ["return True"]),
    ],
)
def test_the_mistakes_that_people_make_are_made(what: str, where: str, went: int, came: list[str]) -> None:
    found = [changed(each) for each in made() if (each.what, each.where) == (what, where)]

    assert any(lines[1] == came and len(lines[0]) == went for lines in found), found


def test_a_variant_differs_in_the_lines_of_its_mistake_alone_and_is_python() -> None:
    every = variants(SOURCE, SWITCHES)

    assert len(every) > 50
    assert [each.line for each in every] == sorted(each.line for each in every)
    assert len({each.text for each in every}) == len(every)
    for each in every:
        ast.parse(each.text)
        went, came = changed(each, SOURCE)
        assert len(went) <= 12
        assert len(came) <= 12


def test_what_no_run_could_tell_apart_is_not_made() -> None:
    every = made()

    assert not [each for each in every if each.where == "Driver.__init__"]
    assert not [each for each in every if "assert page" not in each.text]
    assert not [each for each in every if 'self.mm.emit("mapped")' not in each.text]
    # Two statements without a step between them that have nothing to do with each other.
    plain = "class Driver:\n    def both(self):\n        self.a = 1\n        self.b = 2\n"
    assert [each.what for each in variants(plain, {})] == ["leaves it out", "counts nothing", "leaves it out"]
    # A name that would be used before it is bound.
    bound = "class Driver:\n    def both(self):\n        a = self.c()\n        self.b = a\n"
    assert [changed(each, bound) for each in variants(bound, {})] == [(["self.b = a"], ["pass"])]


@pytest.mark.parametrize(
    "body",
    [
        "self.vm.machine.touch('x', 1)",
        "self.tell()",  # which says no more than that
        "if self.profile.kvm_no_release:\n            self.a()",
    ],
)
def test_what_does_nothing_but_report_or_never_runs_is_neither_left_out_nor_moved(body: str) -> None:
    text = (
        f"class Driver:\n    async def go(self):\n        await self.b()\n        {body}\n\n"
        "    def tell(self):\n        machine = self.vm.machine\n        machine.touch('x', 1)\n"
        "        machine.emit('y')\n"
    )

    assert [(each.where, each.what, each.line) for each in variants(text, SWITCHES)] == [
        ("Driver.go", "leaves it out", 3)
    ]


def test_the_neighbours_of_what_never_runs_are_swapped_with_each_other() -> None:
    text = (
        "class Driver:\n    async def go(self):\n        await self.a()\n"
        "        if self.profile.kvm_no_release:\n            self.c()\n        await self.b()\n"
    )

    (swapped,) = [each for each in variants(text, SWITCHES) if each.what == "swaps two"]
    assert changed(swapped, text) == (["await self.a()", "await self.b()"], ["await self.b()", "await self.a()"])


def test_to_bind_a_constant_sooner_or_later_is_no_mistake() -> None:
    text = (
        "class Driver:\n    async def go(self):\n        await self.a()\n        flush = {}\n"
        "        await self.b()\n        return flush\n"
    )

    assert not [each for each in variants(text.format("True"), SWITCHES) if each.what == "swaps two"]
    assert [each for each in variants(text.format("self.dirty"), SWITCHES) if each.what == "swaps two"]


def test_a_callback_that_is_one_call_is_ignored_once() -> None:
    text = "class Driver:\n    async def release(self, mm):\n        await self.drop()\n"

    assert [each.what for each in variants(text, SWITCHES)] == ["ignores the callback"]


def test_a_method_that_only_code_of_another_profile_calls_is_left_alone() -> None:
    text = (
        "class Driver:\n    async def go(self):\n        if self.profile.kvm_no_release:\n            self.other()\n\n"
        "    def other(self):\n        self.a()\n"
    )

    assert not variants(text, {**SWITCHES, "kvm_no_release": False})
    assert [each.where for each in variants(text, {**SWITCHES, "kvm_no_release": True})] == [
        "Driver.go",
        "Driver.other",
    ]


def test_code_of_another_profile_is_left_alone() -> None:
    assert not [each for each in made() if "self.keep(page)" not in each.text]
    assert [each for each in made(kvm_pinned_sptes=True) if "self.keep(page)" not in each.text]


def test_a_condition_of_the_profile_is_not_forgotten() -> None:
    text = "class Driver:\n    def go(self):\n        return self.failed() and not self.profile.kvm_no_release\n"

    assert [changed(each, text)[1] for each in variants(text, SWITCHES)] == [
        ["pass"],
        ["return not self.profile.kvm_no_release"],
    ]


def test_a_longer_character_before_it_moves_no_mistake() -> None:
    text = "class Driver:\n    def go(self):\n        '''…'''; self.a = 1\n"

    assert [changed(each, text)[1] for each in variants(text, {})] == [["'''…'''; pass"], ["'''…'''; self.a = 0"]]


# --- what becomes of them -----------------------------------------------------------

VARIANTS = (
    Variant("leaves it out", "D.close", 3, "a\nb\n"),
    Variant("swaps two", "D.open", 4, "b\na\n"),
    Variant("takes no lock", "D.open", 5, "b\nb\n"),
)


def test_the_score_counts_what_was_caught_of_what_can_be() -> None:
    found = Score(
        driver="D",
        file="d.py",
        original="a\na\n",
        variants=VARIANTS,
        fates=(Fate("caught", "stale-lookup", "device-vs-munmap"), Fate("equivalent"), Fate("missed")),
    )

    assert (found.caught, found.equivalent, len(found.missed)) == (1, 1, 1)
    assert found.percent == 50.0
    text = found.as_text()
    assert text.startswith("score 50.0 %  D\n  3 variants: 1 caught, 1 equivalent, 1 missed\n  equivalent: the same in")
    assert "33.3 % if none is" in text
    assert "equivalent: D.open, line 4: swaps two\n" in text
    assert "missed: D.open, line 5: takes no lock\n--- d.py\n+++ d.py (takes no lock)\n" in text
    fates = found.as_json()["fates"]
    assert isinstance(fates, list)
    assert fates[0]["diff"] is None
    assert fates[2]["diff"].startswith("--- d.py")


def judged(what: str, where: str) -> Fate:
    variant = next(each for each in variants(SOURCE, SWITCHES) if (each.what, each.where) == (what, where))
    return score._judge_first(Plan(driver="mirror"), variant, beat=lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("ignores the callback", "Mirror.invalidate_page"),
        ("takes no lock", "Mirror.invalidate_range_start"),
        ("leaves it out", "Mirror.close"),
        ("compares by is", "Mirror.access"),
    ],
)
def test_a_faulty_variant_is_caught(what: str, where: str) -> None:
    fate = judged(what, where)

    assert fate.kind == "caught"
    assert fate.scenario.startswith("device-")


async def tiny(host: Host) -> None:
    """A scenario that a search can prove: one task, one page, one look."""
    host.all_touches_declared()
    device = host.driver("device")(host.new_mm())
    await device.access(0x1000, write=False, value=0, context=0)


class Answers(Mirror):
    """Does one thing."""

    async def access(self, va: Any, *, write: bool, value: int, context: int = 0) -> None:
        self.table.drop_all()


class AnswersOtherwise(Answers):
    """Does the same, written in another way."""

    async def access(self, va: Any, *, write: bool, value: int, context: int = 0) -> None:
        self.table.drop_range(0, 0)  # type: ignore[arg-type]  # nothing is in it anyhow


class LooksUp(Answers):
    """Does something else."""

    async def access(self, va: Any, *, write: bool, value: int, context: int = 0) -> None:
        await self.mm.register(self)


class Raises(Answers):
    """Does nothing right."""

    async def access(self, va: Any, *, write: bool, value: int, context: int = 0) -> None:
        raise ValueError(va)


def spec_of(driver: type[Any]) -> RunSpec:
    return RunSpec(name="tiny", scenario=tiny, drivers={"device": driver})


def test_what_does_the_same_in_another_way_has_the_same_proof() -> None:
    expected = proofs.prove(spec_of(Answers))

    assert expected.proved
    assert proofs.prove(spec_of(AnswersOtherwise)) == expected
    assert proofs.prove(spec_of(LooksUp)) != expected
    assert proofs.prove(spec_of(Raises)).broken == "driver-raised"


def test_what_is_not_proved_within_its_runs_has_no_facts() -> None:
    spec = Request(scenario="device-founding-race", driver="mirror").resolve()

    assert proofs.prove(spec, runs=3) == proofs.Proof()


def further(
    monkeypatch: pytest.MonkeyPatch,
    driver: type[Any],
    *,
    own: proofs.Proof,
    ran: bool = True,
    clean_by: tuple[str, ...] = ("dpor", "hunt"),
) -> Fate:
    """What becomes of a variant that is `driver`, in a suite of one tiny scenario."""
    cell = Cell(scenario="tiny")

    def specs(_plan: Plan, _driver: object, _beat: object, wanted: Any = lambda _: True) -> list[tuple[Cell, RunSpec]]:
        return [(cell, spec_of(driver))] if wanted(cell) else []

    monkeypatch.setattr(score, "_specs", specs)
    monkeypatch.setattr(score, "_built", lambda *_: driver)
    monkeypatch.setattr(score, "runs_a_changed_line", lambda *_: ran)
    variant = Variant("does otherwise", "D.access", 1, "")
    return score._judge_further(
        Plan(driver="mirror"), variant, {(cell.profile, cell.name): score.Own(own, clean_by)}, beat=lambda: None
    )


def test_equivalent_is_what_is_proved_to_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    own = proofs.prove(spec_of(Answers))

    assert further(monkeypatch, AnswersOtherwise, own=own).kind == "equivalent"
    assert further(monkeypatch, Raises, own=own) == Fate("caught", "driver-raised", "tiny")
    assert further(monkeypatch, LooksUp, own=own).kind == "missed"
    assert further(monkeypatch, AnswersOtherwise, own=own._replace(facts="others")).kind == "missed"


def test_what_never_ran_is_not_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    own = proofs.prove(spec_of(Answers))

    assert further(monkeypatch, AnswersOtherwise, own=own, ran=False).kind == "missed"


def test_a_driver_that_cannot_be_proved_has_no_equivalents(monkeypatch: pytest.MonkeyPatch) -> None:
    assert further(monkeypatch, AnswersOtherwise, own=proofs.Proof()).kind == "missed"


def test_a_search_by_which_the_driver_itself_is_not_clean_says_nothing_of_a_variant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unproved = proofs.Proof()

    assert further(monkeypatch, Raises, own=unproved) == Fate("caught", "driver-raised", "tiny")
    assert further(monkeypatch, Raises, own=unproved, clean_by=()).kind == "missed"


@pytest.mark.slow
@pytest.mark.parametrize(("method", "runs"), [("dpor", 334), ("hunt", 20)])
def test_two_that_steal_from_each_other_are_no_fault_of_a_variant(method: str, runs: int) -> None:
    assert score._searched(Request(scenario="gru-steal", steps_max=1000).resolve(), Effort(runs=runs), method) is None


@pytest.mark.parametrize(("line", "ran"), [(2, True), (4, False)])
def test_whether_a_changed_line_ran_is_seen(line: int, ran: bool) -> None:
    source = "async def go(host):\n    host.mm = 0\n    if host is None:\n        host.mm = 2\n"
    lines = source.splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace("mm", "machine.here")
    variant = Variant("changes it", "go", line, "".join(lines))
    names: dict[str, Any] = {}
    exec(compile(variant.text, variant.place, "exec"), names)

    async def scene(host: Host) -> None:
        try:
            await names["go"](host)
        except AttributeError:
            return

    assert proofs.changed_lines(source, variant.text) == {line}
    assert proofs.runs_a_changed_line(RunSpec(name="scene", scenario=scene), variant, source) == ran


@pytest.mark.slow
def test_a_driver_that_is_not_clean_is_not_scored() -> None:
    with pytest.raises(InputError, match=r"itself breaks .* mend that first"):
        run_score(Plan(driver="drivers.broken_mirror:MirrorHearsRangesOnly", effort=Effort(bound=1, runs=60)))


def test_a_variant_is_built_beside_the_driver() -> None:
    variant = next(each for each in variants(SOURCE, SWITCHES) if each.where == "Mirror.close")
    built = score._built(Mirror, variant)

    assert built is not Mirror
    assert built.__name__ == "Mirror"


@pytest.mark.slow
def test_a_driver_that_can_never_be_opened_is_caught_by_what_it_leaves_untested() -> None:
    changed_text = SOURCE.replace("return await self.mm.register(self)", "return -12")
    fate = score._judge_first(
        Plan(driver="mirror"),
        Variant("never opens", "Mirror.open", 1, changed_text),
        beat=lambda: None,
    )

    assert fate.kind == "caught"
    assert fate.by.endswith(" is untested")
