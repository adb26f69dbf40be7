"""Two hundred seeds of everything at once: what is intended is clean, what shipped has its holes.

Each profile's runs may show only what the table of holes predicts for the switches it has
on; and where a rule spoke, the same seed with those switches off does not show it.
"""

from collections.abc import Iterable

import pytest

from notifierlab.explore.run import run_once
from notifierlab.explore.strategies import RandomWalk
from notifierlab.machine.carriers import CARRIERS
from notifierlab.mm.profile import HOLES, PRESETS
from notifierlab.request import Request

SEEDS = range(200)
SHARDS = 4


def rules_broken(seed: int, profile: str, carrier: str, *, off: Iterable[str] = ()) -> set[str]:
    request = Request(scenario="churn", profile=profile, carrier=carrier, switches=dict.fromkeys(off, False))
    walk = RandomWalk(seed)
    assert walk.new_run()
    return {violation.rule for violation in run_once(request.seeded(seed).resolve(), walk).violations}


def holes_of(profile: str, rules: set[str]) -> list[str]:
    """The holes that are open in the profile and predict one of the rules."""
    return [name for name, hole in HOLES.items() if getattr(PRESETS[profile], name) and rules & set(hole.rules)]


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("profile", PRESETS)
def test_churn_breaks_only_what_its_holes_predict(profile: str, carrier: str, shard: int) -> None:
    predicted = {rule for hole in holes_of(profile, ALL_RULES) for rule in HOLES[hole].rules}
    for seed in SEEDS[shard::SHARDS]:
        broken = rules_broken(seed, profile, carrier)
        assert broken <= predicted, seed

        if broken and carrier == "bare":
            closed = holes_of(profile, broken)
            assert not broken & rules_broken(seed, profile, carrier, off=closed), seed


def test_the_intended_profile_has_no_hole() -> None:
    assert holes_of("intended", ALL_RULES) == []


ALL_RULES = {rule for hole in HOLES.values() for rule in hole.rules}
