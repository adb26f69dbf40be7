"""How one event stands on one line: compact JSON, addresses as hex strings.

Keys stand in the order `ev`, `step`, `task`, then the fields as `events.py` declares
them. Everything is encoded as it is, except addresses: an event with `Va` fields has a
twin here whose fields are strings. The twins are made from the annotations, so a new
event needs no line in this file; encoding, decoding and the JSON Schema all come from
them and cannot disagree.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Final, get_type_hints, NamedTuple

import msgspec

from notifierlab.events import Event, EVENTS, Va

HEX_PATTERN: Final = r"^0x(0|[1-9a-f][0-9a-f]{0,15})$"
"""Each address has one spelling, so that equal runs have equal bytes."""

HexString = Annotated[str, msgspec.Meta(pattern=HEX_PATTERN, description="A virtual address in bytes.")]

_encoder: Final = msgspec.json.Encoder()


class Twin(NamedTuple):
    """The form on the line of one event type that has addresses."""

    on_line: type[msgspec.Struct]
    encode: Callable[[Event], msgspec.Struct]
    decode: Callable[[msgspec.Struct], Event]


def va_fields(event_type: type[Event]) -> tuple[str, ...]:
    """The fields of an event type that hold addresses."""
    hints = get_type_hints(event_type)
    return tuple(name for name in event_type.__struct_fields__ if hints[name] is Va)


def tag_of(event_type: type[msgspec.Struct]) -> str:
    """The value of `ev` for a type of line: `PteSet` is `pte_set`."""
    tag = event_type.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def _twin(event_type: type[Event]) -> Twin:
    names = event_type.__struct_fields__
    hints = get_type_hints(event_type)
    places = tuple(names.index(name) for name in va_fields(event_type))
    on_line = msgspec.defstruct(
        event_type.__name__,
        [(name, HexString if hints[name] is Va else hints[name]) for name in names],
        tag_field="ev",
        tag=tag_of(event_type),
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
        namespace={"__doc__": event_type.__doc__},
    )
    values_of = attrgetter(*names)

    def encode(event: Event) -> msgspec.Struct:
        values = list(values_of(event))
        for place in places:
            values[place] = hex(values[place])
        return on_line(*values)

    def decode(line: msgspec.Struct) -> Event:
        values = list(values_of(line))
        for place in places:
            values[place] = int(values[place], 16)
        return event_type(*values)

    return Twin(on_line, encode, decode)


_TWINS: Final = {event_type: _twin(event_type) for event_type in EVENTS if va_fields(event_type)}
_TWIN_OF_LINE: Final = {twin.on_line: twin.decode for twin in _TWINS.values()}

LINE_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    tag_of(event_type): _TWINS[event_type].on_line if event_type in _TWINS else event_type for event_type in EVENTS
}
"""What an event line may hold, by its `ev`."""


def encode_event(event: Event) -> bytes:
    """One event as one line, without its newline."""
    twin = _TWINS.get(type(event))
    return _encoder.encode(event if twin is None else twin.encode(event))


def event_of(line: msgspec.Struct) -> Event:
    """The event that a decoded line stands for."""
    decode = _TWIN_OF_LINE.get(type(line))
    if decode is not None:
        return decode(line)
    assert isinstance(line, Event)
    return line
