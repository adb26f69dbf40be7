"""State that more than one task touches.

`running: int = shared(0)` declares a plain field: reading or writing it is no switch,
and the rule `data-race` asks that a lock or something like it orders every two accesses
of which one is a write. `requests: Atomic[int] = shared(0, atomic=True)` declares an
atomic one: its operations are awaited, each is a switch, and they order like the
kernel's fully ordered atomics.

What a task changes and the bench does not see would make two runs of one schedule
differ, so a `SharedState` object refuses, after its construction, every attribute that
was not declared, and every value that could be changed behind the field's back.
"""

from collections.abc import Callable
from typing import Any, cast, Final, Generic, Literal, overload, TypeVar

from notifierlab import events
from notifierlab.machine.access import Mode
from notifierlab.machine.sched import LabError, Machine
from notifierlab.machine.watched import is_same

T = TypeVar("T")

_DECIMAL_BITS_MAX: Final = 64
_PLAIN: Final = (int, str, bytes, float, bool, type(None))


class Atomic(Generic[T]):
    """An atomic field of one object. Each operation is a switch, then happens at once."""

    __slots__ = ("_field", "_machine", "_owner", "_value")

    def __init__(self, machine: Machine, owner: str, field: str, value: T) -> None:
        self._machine = machine
        self._owner = owner
        self._field = field
        self._value = value

    async def get(self) -> T:
        """Read the value."""
        await self._machine.step()
        self._read()
        return self._value

    async def set(self, value: T) -> None:
        """Write the value."""
        await self._machine.step()
        self._write(value)

    async def exchange(self, value: T) -> T:
        """Write the value and return the one before."""
        await self._machine.step()
        before = self._value
        self._write(value)
        return before

    async def change(self, fn: Callable[[T], T]) -> T:
        """Replace the value by `fn(value)` in one go and return the new one.

        If that is the same, it was only read: as a cmpxchg that fails, this releases nothing.
        """
        await self._machine.step()
        value = fn(self._value)
        if is_same(self._value, value):
            self._read()
        else:
            self._write(value)
        return self._value

    async def add(self: "Atomic[int]", n: int) -> int:
        """Add `n` and return the new value."""
        return await self.change(lambda value: value + n)

    async def inc_not_zero(self: "Atomic[int]") -> bool:
        """atomic_inc_not_zero: take a reference unless there is none any more; tell whether it was taken."""
        await self._machine.step()
        before = self._value
        self._machine.touch_get_unless_zero(f"{self._owner}.{self._field}", before)
        if before:
            self._count(before + 1)
        else:
            self._machine.emit(events.AtomicRead, self._owner, self._field, _text(before))
        return before != 0

    async def dec_and_test(self: "Atomic[int]") -> bool:
        """atomic_dec_and_test: drop a reference; tell whether it was the last.

        Who drops one that is not the last may as well come before or behind another who does.
        """
        await self._machine.step()
        left = self._value - 1
        self._machine.touch_put(f"{self._owner}.{self._field}", left)
        self._count(left)
        return left == 0

    async def test_and_set(self: "Atomic[bool]") -> bool:
        """Set it and return what it was."""
        return await self.exchange(True)

    @property
    def now(self) -> T:
        """The value, for whoever is no task: neither touch nor event."""
        return self._value

    def peek(self) -> T:
        """Return the value, for the condition of a wait: no switch, no event."""
        self._touch(Mode.READ)
        return self._value

    def _read(self) -> None:
        self._touch(Mode.READ)
        self._machine.emit(events.AtomicRead, self._owner, self._field, _text(self._value))

    def _write(self, value: T) -> None:
        _refuse_mutable(self._owner, self._field, value)
        self._value = value
        self._touch(Mode.WRITE)
        self._show()
        self._machine.emit(events.AtomicWritten, self._owner, self._field, _text(value))

    def _count(self: "Atomic[int]", value: int) -> None:
        self._value = value
        self._show()
        self._machine.emit(events.AtomicWritten, self._owner, self._field, _text(value))

    def _touch(self, mode: Mode) -> None:
        if self._machine.recording:
            self._machine.touch(f"{self._owner}.{self._field}", mode)

    def _show(self) -> None:
        if self._machine.recording:
            self._machine.shows(f"{self._owner}.{self._field}", self._value)


class _Field:
    """What `shared(...)` leaves in the class: the access to one declared field."""

    def __init__(self, default: object, *, atomic: bool) -> None:
        self.default = default
        self.atomic = atomic
        self.name = ""
        self._slot = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self._slot = f"_shared_{name}"
        _refuse_mutable(owner.__name__, name, self.default)

    def peek(self, state: "SharedState") -> object:
        """Return the value, with neither touch nor event."""
        value = state.__dict__.get(self._slot, self.default)
        return value.now if isinstance(value, Atomic) else value

    def __get__(self, state: "SharedState | None", owner: type) -> object:
        if state is None:
            return self
        values = state.__dict__
        if self.atomic:
            if self._slot not in values:
                values[self._slot] = Atomic(state.machine, state.name, self.name, self.default)
            return values[self._slot]
        if state.machine.recording:
            state.machine.touch(f"{state.name}.{self.name}", Mode.READ)
        state.machine.emit(events.FieldRead, state.name, self.name)
        return values.get(self._slot, self.default)

    def __set__(self, state: "SharedState", value: object) -> None:
        if self.atomic:
            raise LabError(f"{state.name}.{self.name} is atomic: change it by `await self.{self.name}.set(...)`")
        _refuse_mutable(state.name, self.name, value)
        state.__dict__[self._slot] = value
        if state.machine.recording:
            state.machine.touch(f"{state.name}.{self.name}", Mode.WRITE)
            state.machine.shows(f"{state.name}.{self.name}", value)
        state.machine.emit(events.FieldWritten, state.name, self.name, _text(value))


@overload
def shared(default: T, *, atomic: Literal[False] = False) -> T: ...
@overload
def shared(default: T, *, atomic: Literal[True]) -> Atomic[T]: ...
def shared(default: object, *, atomic: bool = False) -> object:
    """Declare a field that more than one task touches, with its first value."""
    return cast(Any, _Field(default, atomic=atomic))


class _Sealed(type):
    """Seals an object when the constructor of its own class has returned."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        state = super().__call__(*args, **kwargs)
        state.__dict__["_sealed"] = True
        if state.machine.records and state.machine.noting:
            state.show_fields()
        return state


class SharedState(metaclass=_Sealed):
    """An object with shared fields. `name` identifies it in the log.

    Attributes given in the constructor are constant from then on; what changes is
    declared with `shared()`. Raises `LabError` for anything else.
    """

    machine: Machine
    name: str

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name

    def show_fields(self) -> None:
        """Show what stands in each field, for a search that compares states."""
        for kind in type(self).__mro__:
            for field in vars(kind).values():
                if isinstance(field, _Field):
                    self.machine.shows(f"{self.name}.{field.name}", field.peek(self))

    def __setattr__(self, attribute: str, value: object) -> None:
        if "_sealed" in self.__dict__ and not isinstance(getattr(type(self), attribute, None), _Field):
            kind = type(value).__name__
            raise LabError(
                f"{type(self).__name__}.{attribute} is assigned after construction but not declared; tasks share this "
                f"object, so declare it in the class: `{attribute}: {kind} = shared({_example(value)})`"
            )
        super().__setattr__(attribute, value)


def _text(value: object) -> str:
    # A bitmap as a decimal number is slow to write, and Python refuses it beyond 4300 digits.
    return hex(value) if type(value) is int and value.bit_length() > _DECIMAL_BITS_MAX else str(value)


def _refuse_mutable(owner: str, field: str, value: object) -> None:
    if isinstance(value, _PLAIN) or getattr(type(value), "is_lab_object", False):
        return
    if isinstance(value, tuple | frozenset):
        for item in sorted(value, key=str) if isinstance(value, frozenset) else value:
            _refuse_mutable(owner, field, item)
        return
    raise LabError(
        f"{owner}.{field} cannot be a {type(value).__name__}: a value that changes in place escapes the bench. "
        f"Use an int, str, bool, None or a tuple of those, as in `{field} = shared(())`, and assign a new one"
    )


def _example(value: object) -> str:
    return repr(value) if isinstance(value, _PLAIN) else "None" if not isinstance(value, list | tuple) else "()"
