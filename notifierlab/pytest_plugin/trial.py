"""A test as a scenario: run once on trio, in every order by hand, or as its log says.

What the test's body raises is the failure of one order, as a broken rule is: it is found
again as simple as it can be, and shown as pytest shows it, with the order's story after it.
`pytest.skip` and `pytest.xfail` in the body end the test at once, unless an order before
failed.
"""

import inspect
import io
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Final, NoReturn

import pytest
import trio

from notifierlab.bench import ranked
from notifierlab.errors import InputError
from notifierlab.events import Event
from notifierlab.explore.run import arun_once, run_once
from notifierlab.explore.search import explore, Progress, SearchResult
from notifierlab.explore.strategies import Calm, Replay
from notifierlab.explore.tally import Finding
from notifierlab.host import Host
from notifierlab.machine.sched import LabError, Machine
from notifierlab.pytest_plugin.again import beside, followed, RECORDED
from notifierlab.pytest_plugin.items import Lab
from notifierlab.pytest_plugin.marker import settings_of
from notifierlab.pytest_plugin.recipes import Builder
from notifierlab.pytest_plugin.summary import BOUND, LOG, ORDERS, REPLAYED, RULE, VERDICT
from notifierlab.pytest_plugin.telling import callers_part, Failure, own_part, Teller

RAISED: Final = "driver-raised"
"""The rule that a body breaks by raising: what it raised is enough to end a search."""

_WHOLE: Final = ("bounded", "dpor", "prove", "states")
"""Strategies that try all of something, so that a limit cuts them short."""

_ON_TRIO: Final = "In pytest: without the marker `interleave` a test runs once, on trio."


class InterleaveWarning(pytest.PytestWarning):
    """A search said less than the test asked for."""


def prepare(lab: Lab) -> None:
    """Make the test ready to be called, once its marks were looked at."""
    __tracebackhide__ = True
    try:
        lab.trial = Trial(lab)
    except InputError as error:
        raise pytest.fail.Exception(f"`{lab.name}`: {error}", pytrace=False) from None


def call(lab: Lab) -> bool | None:
    """Run the test; None leaves it to whoever runs async tests here."""
    __tracebackhide__ = True
    trial: Trial = lab.trial
    if lab.marked:
        trial.interleave()
        return True
    if not inspect.iscoroutinefunction(trial.item.obj):
        # pytest-trio has put its runner around it.
        return None
    arguments = {name: trial.item.funcargs[name] for name in trial.argnames}
    trio.run(partial(trial.item.obj, **arguments))
    return True


class Trial:
    """One test of ours, about to run."""

    def __init__(self, lab: Lab) -> None:
        assert isinstance(lab.item, pytest.Function)
        self.lab = lab
        self.item = lab.item
        self.argnames: tuple[str, ...] = self.item._fixtureinfo.argnames  # noqa: SLF001 - as in `items`
        self.settings = settings_of(self.item)
        self.recorded = self.item.config.stash.get(RECORDED, None)
        self.request = self.settings.request(self.item.nodeid)
        self.spec = self.settings.spec(self.item.nodeid, self._body)
        if not lab.marked:
            self.request, self.spec = replace(self.request, carrier="trio"), replace(self.spec, carrier="trio")
        self._teller = Teller(self.item, self.request)
        self._machine: Machine | None = None
        self._keeping = False
        # How many runs had shown something when something was last seen for the first time.
        self._found: tuple[str, ...] = ()
        self._found_in = 0

    async def _body(self, host: Host, given: Mapping[str, object] | None = None) -> None:
        """The body of the test, with the fixtures of this run."""
        self._machine = host.machine
        host.machine.is_failure = _is_failure
        parameters = {**self.item.funcargs, **(given or {})}
        try:
            async with Builder(host) as builder:
                values = {name: await builder.value(of) for name, of in parameters.items()}
                await self.lab.function(**{name: values[name] for name in self.argnames})
        except (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest):
            # Another order failed: one in which the body does not want to run is beside the point.
            if not self._keeping:
                raise

    # --- in every order -------------------------------------------------------------

    def interleave(self) -> None:
        """Run the test in every order, or in that of the log; fail, with the story, if one is wrong."""
        __tracebackhide__ = True
        wrong: LabError | None = None
        failure: Failure | None = None
        try:
            failure = self._replay() if self.recorded else self._explore()
        except LabError as error:
            wrong = error
        except RuntimeError as error:
            if not _asks_trio(error):
                raise
            wrong = LabError(f"`{self.lab.name}` runs in every order, and waits for trio itself (a timer, a socket)")
            wrong.with_traceback(error.__traceback__).add_note(_ON_TRIO)
        if wrong is not None:
            _raise_wrong_use(wrong)
        if failure is not None:
            self._fail(failure)

    def _explore(self) -> Failure | None:
        try:
            result = self._searched(self.settings.runs)
        except (pytest.fail.Exception, pytest.skip.Exception, unittest.SkipTest):
            # The body skips, or time is up: an order that was seen to fail before still has.
            if not self._found_in:
                raise
            result = self._searched(self._found_in)
            if not _findings(result):
                raise
        if result.cut == "interrupted":
            raise KeyboardInterrupt
        findings = _findings(result)
        bound = result.bound.replace("; --runs goes further", "")
        self._note(**{VERDICT: "violated" if findings else result.verdict, ORDERS: result.runs, BOUND: bound})
        if findings:
            return self._kept(findings)
        if result.verdict == "undecided":
            idle = ", ".join(result.not_exercised) or "the test"
            return Failure(
                f"undecided: {idle} had nothing to judge in any of {result.runs} orders, so nothing is said of it. "
                "Let the test do what the rule is about, or leave the rule out."
            )
        self._warn_if_cut(result, bound)
        return None

    def _searched(self, runs: int | None) -> SearchResult:
        settings = self.settings
        with self._running():
            return explore(
                self.spec,
                settings.strategy,
                bound=settings.bound,
                runs=runs,
                seed=settings.seed,
                rules=settings.rules,
                enough=(RAISED,),
                shrinking=False,
                repeat_every=settings.repeat_every,
                audit_every=settings.audit_every,
                progress=self._see,
            )

    def _see(self, progress: Progress) -> None:
        if progress.found != self._found:
            self._found, self._found_in = progress.found, progress.runs

    def _kept(self, findings: tuple[Finding, ...]) -> Failure:
        try:
            failure = self._kept_by(findings, hurried=False)
        except pytest.fail.Exception:
            # Time is up; what was found is told all the same, if not as simple as it can be.
            failure = self._kept_by(findings, hurried=True)
        self._note(**{RULE: findings[0].violation.rule, **({LOG: failure.log} if failure.log else {})})
        return failure

    def _kept_by(self, findings: tuple[Finding, ...], *, hurried: bool) -> Failure:
        finding = findings[0]
        keeper = self._teller.keeper(self.spec, hurried=hurried)
        self._keeping = True
        with self._running():
            keeper.keep(finding)
        schedule = keeper.schedule(finding.violation.rule)
        raised = None
        if schedule is not None:
            # Once more, to be heard: what this order raises and prints is what the report shows.
            run_once(self.spec, Replay(schedule, strict=False))
            assert self._machine is not None
            raised = self._machine.raised
        with self._running():
            return self._teller.told(keeper, finding, [each.violation.rule for each in findings[1:]], raised)

    def _replay(self) -> Failure | None:
        assert self.recorded is not None
        with self._running():
            choices, comparison = followed(self.spec, self.recorded)
        events: list[Event] = []
        strategy = Replay(choices)
        strategy.new_run()
        result = run_once(self.spec, strategy, sink=events.append)
        if result.ended == "interrupted":
            raise KeyboardInterrupt
        rules = self.settings.rules and (*self.settings.rules, RAISED)
        wanted = [each for each in result.violations if not rules or each.rule in rules]
        self._note(**{VERDICT: "violated" if wanted else "no-violation-within", ORDERS: 1, REPLAYED: comparison})
        assert self._machine is not None
        return self._teller.of_run(events, wanted, self.recorded.name, self._machine.raised, comparison=comparison)

    def _warn_if_cut(self, result: SearchResult, bound: str) -> None:
        if result.cut == "runs" and self.settings.runs is None and self.settings.strategy in _WHOLE:
            message = (
                f"`{self.lab.name}`: no violation in {bound}, but that is less than the test asks for; "
                "let it have more runs=, or a smaller bound="
            )
            warnings.warn(InterleaveWarning(message), stacklevel=2)

    # --- once, on trio --------------------------------------------------------------

    def as_async_test(self) -> Callable[..., Any]:
        """The test as an async function that makes one run of itself, for whoever runs such tests."""

        @wraps(self.lab.function)
        async def once(**given: object) -> None:
            __tracebackhide__ = True
            try:
                await self._once(given)
            except BaseException as error:
                # Trio and pytest-trio may wrap it up; whoever called them takes it out again.
                self.lab.outcome = error
                raise

        return once

    async def _once(self, given: Mapping[str, object]) -> None:
        __tracebackhide__ = True
        spec = replace(self.spec, scenario=partial(self._body, given=given))
        strategy = Replay(self.recorded.verdict.choices, strict=False) if self.recorded else Calm()
        strategy.new_run()
        events: list[Event] = []
        self.lab.building = True
        try:
            result = await arun_once(spec, strategy, sink=events.append)
        except LabError as error:
            _raise_wrong_use(error)
        finally:
            self.lab.building = False
        if result.ended == "interrupted":
            raise KeyboardInterrupt
        assert self._machine is not None
        if self.recorded:
            self._note(**{VERDICT: "one run", ORDERS: 1, REPLAYED: beside(self.recorded, events)})
        if result.violations:
            log = self.recorded.name if self.recorded else self._teller.write(spec, result, events)
            if not self.recorded:
                self._note(**{VERDICT: "violated", ORDERS: 1, RULE: ranked(result.violations)[0].rule})
            if log:
                self._note(**{LOG: log})
            failure = self._teller.of_run(
                events, result.violations, log, self._machine.raised, external=result.external
            )
            assert failure is not None
            self._fail(failure)

    # --- both -----------------------------------------------------------------------

    def _fail(self, failure: Failure) -> NoReturn:
        __tracebackhide__ = True
        if failure.raised is not None:
            self.lab.told = failure.text
            raise own_part(failure.raised)
        _say(failure.text)

    def _note(self, **properties: object) -> None:
        self.item.user_properties += list(properties.items())

    @contextmanager
    def _running(self) -> Iterator[None]:
        """While many runs are made, what they print is not kept; with `-s` it is seen as it comes."""
        self.lab.building = True
        try:
            if self.item.config.getoption("capture") == "no":
                yield
            else:
                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    yield
        finally:
            self.lab.building = False


def _findings(result: SearchResult) -> tuple[Finding, ...]:
    """What the test fails by: what it looks for, and whatever its body raised."""
    return result.findings or tuple(each for each in result.others if each.violation.rule == RAISED)


def _is_failure(error: BaseException) -> bool:
    """Whether what a task raised is a failure of its run; anything else is for pytest, and ends the search."""
    if isinstance(error, unittest.SkipTest | pytest.exit.Exception | pytest.xfail.Exception):
        return False
    if isinstance(error, pytest.fail.Exception):
        return not _is_timeout(error)
    return isinstance(error, Exception) and not _asks_trio(error)


def _is_timeout(error: BaseException) -> bool:
    return any(frame.startswith("pytest_timeout") for frame in _modules(error))


def _asks_trio(error: BaseException) -> bool:
    """Whether it is trio that was asked for something, and no trio runs."""
    *_, last = ["", *_modules(error)]
    return isinstance(error, RuntimeError) and last.startswith("trio.")


def _modules(error: BaseException) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next


def _raise_wrong_use(error: LabError) -> NoReturn:
    """Show where the bench is used wrongly, or only say it where no line of the test is to blame."""
    __tracebackhide__ = True
    if "--carrier trio" in str(error):
        error.add_note(_ON_TRIO)
    mine = callers_part(error)
    if mine.__traceback__ is not None:
        raise mine
    _say("\n".join([str(error), *getattr(error, "__notes__", ())]))


def _say(text: str) -> NoReturn:
    """Fail with this text and nothing else. Not hidden: pytest would remark on a traceback without any entry."""
    raise pytest.fail.Exception(text, pytrace=False)
