"""A machine that looks, after each step, at what the step changed besides what it recorded.

It is the bare machine, but that a task really gives way in each step, so that all frames
can be looked into; it makes the same run of the same choices.

    changed     a place (`reach.py`) that stood there before the step, and now has another value
    may use     what the Python code that ran in the step could get at: from its variables and
                globals, by the attributes that it names

So a use is not seen, but only that one was possible; a change is seen by what it left. Not
seen: what a change does and another undoes within one step, and what the condition of
a wait reads, which must be recorded for other reasons (`Machine.declared`). Code that looks
up names which it computes (`getattr`, `vars`) may use every attribute.
"""

import dis
import gc
import inspect
import sys
import types
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from functools import cache
from types import CellType, CodeType, FrameType
from typing import Any, Final, NamedTuple

from notifierlab.machine.access import Mode
from notifierlab.machine.carriers import BareMachine
from notifierlab.machine.naming import called
from notifierlab.machine.reach import Globals, is_their_module, Place, Reach, Root
from notifierlab.machine.sched import RunOver
from notifierlab.machine.task import Task

_LOOKS: Final = (Mode.READ, Mode.TEST, Mode.AWAIT)
_COMPUTED: Final = ("getattr", "setattr", "delattr", "vars", "__dict__", "attrgetter", "globals")
_SUSPENDABLE: Final = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
_SUSPENDS: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Change(NamedTuple):
    """What a step left changed: how the place is called, what kind of thing stands there, and what stood there."""

    place: Place
    called: str
    kind: str
    before: object


class Segment(NamedTuple):
    """One step: whose, what it changed unrecorded, what it may have used, and where its code stood at the end."""

    task: str
    changes: tuple[Change, ...]
    may_use: dict[Place, object]
    code: tuple[tuple[CodeType, int], ...]


class Pin(NamedTuple):
    """A change of which the line is wanted: in the step number `step`, at `place`, where `before` stood."""

    step: int
    place: Place
    before: object


class _AnyName(dict[str, None]):
    """The names that code may use which computes them."""

    def __contains__(self, name: object) -> bool:
        return True


class _Stop(NamedTuple):
    """Where a frame stood when its task gave way, and what it awaited."""

    frame: FrameType
    lasti: int
    awaits: object
    coro: object

    def has_not_moved_since(self, before: "_Stop") -> bool:
        """Tell whether nothing happened in the frame but within what it awaits."""
        return self.awaits is not None and self.awaits is before.awaits and self.lasti == before.lasti


class _Glimpse(NamedTuple):
    """What a frame shows of itself: its code, at which line it is, and its variables."""

    code: CodeType
    line: int
    variables: Mapping[str, object]
    module: dict[str, object]


class AuditedMachine(BareMachine):
    """Runs as the bare machine does, and keeps a `Segment` for each step; with a `pin` the line of one change."""

    def __init__(self, *args: Any, pin: Pin | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reach = Reach()
        self.segments: list[Segment] = []
        self.pinned = ""
        self._pin = pin
        self._frames: list[FrameType] = []
        # Of frames that gave way: how they looked then.
        self._left: dict[FrameType, _Glimpse] = {}
        self._stops: dict[Task, list[_Stop]] = {}
        self._roots: dict[Task, list[Root]] = {}
        self._selves: dict[int, Root] = {}
        self._modules: dict[str, Root] = {}
        self._stood: dict[Place, object] = {}
        self._by_hand = False
        self._theirs: dict[CodeType, bool] = {}
        self._line = ""

    @types.coroutine
    def step(
        self,
        until: Callable[[], bool] | None = None,
        waits_for: str = "",
        holders: Callable[[], tuple[str, ...]] | None = None,
    ) -> Generator[None, None, None]:
        """Let others run (see `Machine.step`)."""
        if self.stopped:
            return
        me = self.current
        me.until = until
        if until is not None:
            me.waits_for = waits_for
            me.holders = holders
        yield
        if self.stopped:
            raise RunOver

    def run(self, main: Coroutine[Any, Any, object]) -> None:
        """Run `main` and every task it starts to the end of the run."""
        self.begin(main)
        try:
            while True:
                me = self.current
                ended = self._go_on(me)
                self._look(me)
                if ended and not self.finish_task(me):
                    return
                self.pass_on()
        except BaseException as error:  # noqa: BLE001 - a run ends cleanly whatever was raised
            self.fail_task(self.current, error)
        finally:
            self._frames.clear()
            self._left.clear()
            self._stops.clear()
            self._roots.clear()
            self._unwind()

    def touch(self, name: str, mode: Mode) -> None:
        """Record a touch, and whether it was the scenario's or driver's own code that did."""
        if mode not in _LOOKS and self._is_theirs(sys._getframe(1)):  # noqa: SLF001 - inspect's way is far slower
            self._by_hand = True
        super().touch(name, mode)

    def _go_on(self, task: Task) -> bool:
        """Let `task` run until it gives way; return whether it ended."""
        pin = self._pin
        traces = pin is not None and pin.step == len(self.trace)
        tracer = sys.gettrace()
        sys.setprofile(self._hear_call)
        if traces:
            sys.settrace(self._trace)
        try:
            trap = task.send(None)
        except StopIteration:
            return True
        finally:
            sys.setprofile(None)
            if traces:
                sys.settrace(tracer)
                self._has_changed()
        if trap is not None:
            self._refuse(task)
        return False

    def _hear_call(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            if self._is_theirs(frame):
                self._frames.append(frame)
        elif event == "return" and frame.f_code.co_flags & _SUSPENDS and self._is_theirs(frame):
            # If it is dropped before its end, its frame must not be looked at any more: Python 3.13.0 to 3.13.5
            # free what that shows (gh-125723).
            if frame.f_lasti in _returns(frame.f_code):
                self._left.pop(frame, None)
            else:
                self._left[frame] = _glimpse(frame)

    def _is_theirs(self, frame: FrameType) -> bool:
        code = frame.f_code
        try:
            return self._theirs[code]
        except KeyError:
            theirs = is_their_module(str(frame.f_globals.get("__name__", "?")))
            self._theirs[code] = theirs
            return theirs

    # --- after a step ---------------------------------------------------------------

    def _look(self, task: Task) -> None:
        """Take down what the step that ends now changed, and what it may have used."""
        ran = self._ran(task)
        left, self._left = self._left, {}
        if not ran:
            # The bench alone was at work: it touches nothing of theirs.
            self.segments.append(Segment(task.name, (), {}, ()))
            return
        own: list[Root] = []
        seen = [self._look_into(frame, task, left, own) for frame in ran]
        names = dict.fromkeys([name for each in seen for name in each.code.co_names])
        stands = self.reach.walk(self._everything())
        stood, self._stood = self._stood, stands
        changed = [place for place, value in stands.items() if place in stood and stood[place] != value]
        changes = tuple(self._change(place, stood[place]) for place in changed) if not self._by_hand else ()
        self._by_hand = False
        may_use = self.reach.walk(own, _AnyName() if any(name in names for name in _COMPUTED) else names, calling=False)
        may_use.update(dict.fromkeys(changed))
        self.segments.append(Segment(task.name, changes, may_use, tuple((each.code, each.line) for each in seen)))

    def _look_into(self, frame: FrameType, task: Task, left: Mapping[FrameType, _Glimpse], own: list[Root]) -> _Glimpse:
        """Add to `own` what the code of a frame can get at; return what is to be seen of it, or was."""
        stop = next((stop for stop in self._stops[task] if stop.frame is frame), None)
        seen = left.get(frame)
        if seen is None or stop is not None:
            seen = _glimpse(frame)
            own += _cells(seen, frame if stop is None else stop.coro)
        own += self._variables(seen)
        own.append(self._module_of(seen))
        self._meet(seen)
        return seen

    def _ran(self, task: Task) -> list[FrameType]:
        """Return the frames of theirs in which something happened, and note where the task stands now.

        One that only handed on what the innermost did has done nothing itself.
        """
        was = {stop.frame: stop for stop in self._stops.get(task, ())}
        stops = self._stops[task] = [stop for stop in _stops_of(task.coro) if self._is_theirs(stop.frame)]
        idle = [stop.frame for stop in stops if stop.frame in was and stop.has_not_moved_since(was[stop.frame])]
        ran = [frame for frame in dict.fromkeys(self._frames) if frame not in idle]
        self._frames.clear()
        if ran or task not in self._roots:
            self._roots[task] = []
            for stop in stops:
                seen = _glimpse(stop.frame)
                self._roots[task] += self._variables(seen) + _cells(seen, stop.coro)
        return ran

    def _module_of(self, seen: _Glimpse) -> Root:
        """Return the module that the code of a frame belongs to."""
        variables = seen.module
        module = str(variables.get("__name__", "?"))
        if module not in self._modules:
            self._modules[module] = Root(module, "", Globals(variables))
        return self._modules[module]

    def _meet(self, seen: _Glimpse) -> None:
        """Keep in sight what code was called on."""
        code = seen.code
        if code.co_argcount and code.co_varnames[0] == "self":
            me = seen.variables.get("self")
            if not self.reach.is_leaf(me):
                self._selves.setdefault(self.reach.number(me), Root("self", code.co_qualname, me))

    def _everything(self) -> Iterator[Root]:
        """What there is to begin with: modules, the variables of who waits, and what code was called on."""
        yield from self._modules.values()
        for task in self.tasks:
            if task not in self._roots:
                # It has not begun: what it was given.
                self._ran(task)
            yield from self._roots[task]
        yield from self._selves.values()

    def _variables(self, seen: _Glimpse) -> list[Root]:
        """Return the variables of a frame."""
        leaf = self.reach.is_leaf
        return [Root(name, seen.code.co_qualname, value) for name, value in seen.variables.items() if not leaf(value)]

    # --- a change -------------------------------------------------------------------

    def _change(self, place: Place, before: object) -> Change:
        value = self.reach.value_at(place)
        thing = self.reach.objects[place.of]
        kind = type(value if place.part or type(thing) is CellType else thing).__name__
        return Change(place, called(self.reach, place, before), kind, before)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Note the line when what the pin is about has changed."""
        if not self._is_theirs(frame):
            # What the bench calls may be theirs again.
            return None
        self._has_changed()
        if event == "return" and frame.f_back is not None and self._is_theirs(frame.f_back):
            frame = frame.f_back
        self._line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        return self._trace

    def _has_changed(self) -> None:
        pin = self._pin
        if pin is not None and not self.pinned and self.reach.at(pin.place) != pin.before:
            self.pinned = self._line


def _stops_of(coro: object) -> Iterator[_Stop]:
    """Where a task stands: its frames, the outermost first."""
    while isinstance(coro, _SUSPENDABLE):
        if isinstance(coro, types.CoroutineType):
            frame, awaits = coro.cr_frame, coro.cr_await
        elif isinstance(coro, types.GeneratorType):
            frame, awaits = coro.gi_frame, coro.gi_yieldfrom
        else:
            frame, awaits = coro.ag_frame, coro.ag_await
        if frame is None:
            return
        yield _Stop(frame, frame.f_lasti, awaits, coro)
        if awaits is not None and not isinstance(awaits, _SUSPENDABLE):
            # A wrapper of Python's own around what is awaited.
            awaits = next((each for each in gc.get_referents(awaits) if isinstance(each, _SUSPENDABLE)), None)
        coro = awaits


def _glimpse(frame: FrameType) -> _Glimpse:
    return _Glimpse(frame.f_code, frame.f_lineno, dict(frame.f_locals), frame.f_globals)


@cache
def _returns(code: CodeType) -> frozenset[int]:
    """Return where code returns, as offsets; everywhere else it only gives way, or raises."""
    return frozenset(
        each.offset for each in dis.get_instructions(code) if each.opname in ("RETURN_VALUE", "RETURN_CONST")
    )


def _cells(seen: _Glimpse, owner: object) -> list[Root]:
    """Return the variables that a frame shares with inner functions, as cells.

    A suspended frame belongs to its coroutine, one that returned to itself.
    """
    code = seen.code
    shared = [*code.co_cellvars, *code.co_freevars]
    cells = [each for each in gc.get_referents(owner) if type(each) is CellType] if shared else []
    return [Root(_name_of(cell, shared, seen.variables), code.co_qualname, cell) for cell in cells]


def _name_of(cell: CellType, left: list[str], variables: Mapping[str, object]) -> str:
    """Return which of the variables `left` a cell holds, and strike it out."""
    try:
        value = cell.cell_contents
    except ValueError:
        name = next((name for name in left if name not in variables), left[0] if left else "?")
    else:
        name = next((name for name in left if name in variables and variables[name] is value), "?")
    if name in left:
        left.remove(name)
    return name
