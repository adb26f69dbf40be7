"""A rule that had nothing to judge is listed, and a search for it is not clean."""

import json

import pytest

from notifierlab import bench
from notifierlab.checker import not_exercised, RULES
from notifierlab.checker.exercised import ANTECEDENTS
from notifierlab.checker.rules import TAGS
from notifierlab.explore.run import run_once
from notifierlab.explore.search import explore
from notifierlab.explore.strategies import Calm
from notifierlab.request import Request
from tests.test_search import opposite_locks, spec_of


def facts(rule: str) -> list[str]:
    return [fact for group in ANTECEDENTS[rule] for fact in group.split("|")]


def test_every_rule_says_what_it_speaks_of() -> None:
    assert list(ANTECEDENTS) == [rule.id for rule in RULES]


def test_what_rules_speak_of_are_events_that_there_are() -> None:
    callbacks = ("start", "end", "page", "young", "change_pte", "release")
    words = {"register_done failed", *(f"cb_entered {each}" for each in callbacks)}
    unknown = [fact for rule in ANTECEDENTS for fact in facts(rule) if fact not in TAGS and fact not in words]
    assert unknown == []


def test_a_rule_is_exercised_when_each_of_its_groups_was_seen() -> None:
    assert not_exercised({"page_freed"}, ["freed-while-reachable"]) == ("freed-while-reachable",)
    assert not_exercised({"page_freed", "tlb_filled"}, ["freed-while-reachable", "deadlock"]) == ()
    assert not_exercised((), ["deadlock", "lock-order"]) == ("lock-order",)


def test_a_run_notes_which_callbacks_it_entered() -> None:
    seen = run_once(Request(scenario="founding-race").resolve(), Calm()).seen
    assert "cb_entered release" in seen
    assert "cb_entered young" not in seen
    assert "register_done failed" not in seen


def test_a_search_lists_what_no_run_exercised() -> None:
    result = explore(spec_of(opposite_locks), bound=1, find_all=True)
    assert "freed-while-reachable" in result.not_exercised
    assert "deadlock" not in result.not_exercised
    assert "lock-order" not in result.not_exercised
    assert result.verdict == "violated"


@pytest.mark.parametrize("rule", ["young-lost", "free-before-end"])
def test_a_search_for_a_rule_that_was_never_exercised_is_undecided(rule: str) -> None:
    plan = bench.SearchPlan(strategy="bounded", bound=0, runs=None, seed=0, rules=(rule,))
    outcome = bench.explore(Request(scenario="founding-race"), plan)
    assert (outcome.verdict, outcome.exit_status) == ("undecided", 3)
    assert f"not exercised, so nothing is said of it: {rule}" in outcome.as_text(width=200)
    assert json.loads(json.dumps(outcome.as_json()))["not_exercised"] == [rule]


def test_a_search_for_a_rule_that_was_exercised_is_clean() -> None:
    plan = bench.SearchPlan(strategy="bounded", bound=0, runs=None, seed=0, rules=("freed-while-reachable",))
    assert bench.explore(Request(scenario="founding-race"), plan).exit_status == 0
