"""Some scenarios are there for one mistake that no other shows: each catches its own, made from the driver's source."""

import inspect
from dataclasses import replace
from typing import Any, Final, NamedTuple

import pytest

from drivers.gru import GruMmu
from drivers.kvm import KvmMmu
from notifierlab.conformance import score
from notifierlab.conformance.mutate import Variant, variants
from notifierlab.explore.search import explore
from notifierlab.mm.profile import PRESETS
from notifierlab.request import Request

KINDS: Final = {"gru": GruMmu, "kvm": KvmMmu}


class Mistake(NamedTuple):
    """What is done wrong, in which method and to which line; and the rule that is broken."""

    kind: str
    where: str
    what: str
    line: str
    rule: str


CAUGHT: Final = {
    "gru-asid-wrap": Mistake(
        "gru",
        "GruMmu.asid_is_old",
        "compares by >",
        "return not self.runs_anywhere() and self.ms_asid_gen != await self.chiplet.read_generation()",
        "wrong-data",
    ),
    "gru-two-purges": Mistake("gru", "GruMmu.purge", "takes no lock", "async with self.chiplet.tgh_lock:", "data-race"),
    "gru-two-thieves": Mistake(
        "gru",
        "GruMmu.steal_context",
        "forgets one condition",
        "stolen = victim.is_loaded() and await victim.gms.lock_to_unload()",
        "bug-on",
    ),
    "gru-interrupt-vs-mmap": Mistake(
        "gru", "GruMmu.interrupt", "ignores the case", "if not await self.mm.mmap_sem.try_read():", "bug-on"
    ),
    "gru-open-vs-reclaim": Mistake(
        "gru", "GruMmu.add_context", "takes no lock", "async with self.ms_asid_lock:", "data-race"
    ),
    "gru-steal-vs-reclaim": Mistake(
        "gru", "GruMmu.stop_context", "takes no lock", "async with self.ms_asid_lock:", "data-race"
    ),
    "slots-vs-guest": Mistake(
        "kvm",
        "KvmMmu.delete_slot",
        "leaves it out",
        "self.memslots = tuple(other for other in self.memslots if other != slot)",
        "wrong-data",
    ),
    "slot-vs-madvise": Mistake("kvm", "KvmMmu.delete_slot", "swaps two", "await self.unlock(flush=flush)", "data-race"),
    "dirty-log-again": Mistake(
        "kvm", "KvmMmu.get_dirty_log", "leaves it out", "await self.flush_remote_tlbs()", "wrong-data"
    ),
    "invlpg-vs-ageing": Mistake(
        "kvm",
        "KvmMmu.zap",
        "leaves it out",
        "spte.page.referenced = spte.page.referenced or spte.accessed",
        "wrong-data",
    ),
}


def made(mistake: Mistake) -> type[Any]:
    """The driver with one mistake in it."""
    driver = KINDS[mistake.kind]
    file = inspect.getsourcefile(driver)
    assert file is not None
    with open(file) as source:
        text = source.read()

    def is_it(variant: Variant) -> bool:
        went = [line[1:].strip() for line in variant.diff(text, file).splitlines()[2:] if line.startswith("-")]
        return (variant.where, variant.what) == (mistake.where, mistake.what) and mistake.line in went

    found, *_ = [variant for variant in variants(text, PRESETS["intended"].switches()) if is_it(variant)]
    return score._built(driver, found)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", CAUGHT)
def test_a_scenario_catches_the_mistake_that_it_is_there_for(scenario: str) -> None:
    mistake = CAUGHT[scenario]
    spec = Request(scenario=scenario).resolve()
    broken = replace(spec, drivers={**spec.drivers, mistake.kind: made(mistake)})

    result = explore(broken, "bounded", bound=1, runs=score.FIRST_RUNS, shrinking=False)

    assert mistake.rule in [finding.violation.rule for finding in (*result.findings, *result.others)]
