"""Ten violations that are kept for ever: what shows each, its log, its story.

`python -m tests.story_book` searches for them again and writes logs and stories anew; do
that when the model changed on purpose, and read what changed.
"""

from pathlib import Path
from typing import NamedTuple

from notifierlab import bench, recheck
from notifierlab.report.lanes import ASCII
from notifierlab.request import Request

HOME = Path(__file__).parent.parent
PLACE = Path("tests/stories")
"""From the top of the repository, where a story's replay line is meant to be used."""


class Kept(NamedTuple):
    """What is wrong (a mutant, or a hole of the kernel), where it shows, and the rule that says so."""

    rule: str
    scenario: str
    mutant: str = ""
    hole: str = ""

    def request(self) -> Request:
        return Request(
            scenario=self.scenario,
            mutants=(self.mutant,) if self.mutant else (),
            switches={self.hole: True} if self.hole else {},
            steps_max=20_000,
        )


STORIES = {
    "founding-race": Kept("freed-while-reachable", "founding-race", mutant="no-take-all-locks"),
    "no-sequence-count": Kept("freed-while-reachable", "kvm-fault-vs-munmap", mutant="kvm-forgets-seq"),
    "count-is-a-bool": Kept("mapped-inside-window", "overlapping-windows", mutant="kvm-boolean-count"),
    "wake-up-forgotten": Kept("deadlock", "gru-dropin-vs-truncate", mutant="gru-forgets-wakeup"),
    "signal-leaves-locks": Kept(
        "interrupted-register-leaves-trace", "register-interrupted", mutant="unwind-forgets-locks"
    ),
    "unregister-too-soon": Kept("call-after-unregister", "unregister-vs-exit", mutant="unregister-without-synchronize"),
    "fork-unannounced": Kept("write-without-permission", "fork-vs-guest-write", mutant="fork-without-window"),
    "single-pass": Kept("deadlock", "fork-abba", hole="single_pass_take_all"),
    "release-gap": Kept("release-gap", "reclaim-vs-exit", hole="unlink_before_release"),
    "zero-page": Kept("wrong-data", "zero-page-read", hole="zero_page_read_lookup"),
}


def log_of(name: str) -> Path:
    return PLACE / f"{name}.jsonl"


def story_of(name: str, *, why: bool) -> str:
    """The story as `notifierlab story` tells it on a terminal of 100 columns without Unicode."""
    explain = bench.why if why else None
    log, rule = str(log_of(name)), STORIES[name].rule
    text, _ = recheck.tell(log, rules=(rule,), width=100, glyphs=ASCII, explain=explain)
    return text


def write(name: str) -> None:
    """Searches for the violation, and keeps its log and its story."""
    kept = STORIES[name]
    plan = bench.SearchPlan(strategy="bounded", bound=2, runs=20_000, seed=0, rules=(kept.rule,), log=log_of(name))
    outcome = bench.explore(kept.request(), plan)
    assert outcome.verdict == "violated", f"{name}: {kept.scenario} does not show {kept.rule} any more"
    log_of(name).with_suffix(".txt").write_text(story_of(name, why=True))


if __name__ == "__main__":
    for each in STORIES:
        write(each)
