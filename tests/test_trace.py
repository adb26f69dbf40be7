"""What is written is read back; what is cut off is a shorter log; the schema fits every line."""

import io
import json
from pathlib import Path
from typing import get_type_hints

import jsonschema
import msgspec
import pytest

from notifierlab.events import Event, EVENTS, Interrupted, Va, Waiting
from notifierlab.reading import LogReader
from notifierlab.trace import LINES_HELD_MAX, RunHeader, schema, Writer
from notifierlab.wire import encode_event, LINE_TYPES, tag_of, va_fields
from tests.sample_log import events, HEADER, log_bytes

_VALUES: dict[object, object] = {
    int: 7,
    str: "x",
    bool: True,
    Va: 0x10000,
    tuple[Waiting, ...]: [{"task": "a", "waits_for": "mm0.mmap_sem", "held_by": ["b"]}],
}


def _sample(event_type: type[Event]) -> Event:
    """Some event of the type; a field of a new type needs a value in the table."""
    hints = get_type_hints(event_type)
    fields = {name: _VALUES[hints[name]] for name in event_type.__struct_fields__}
    return msgspec.convert({"ev": tag_of(event_type), **fields}, event_type)


def _header() -> RunHeader:
    return HEADER


@pytest.mark.parametrize("event_type", EVENTS)
def test_every_event_comes_back_as_it_was(event_type: type[Event]) -> None:
    event = _sample(event_type)
    file = io.BytesIO()
    with Writer(file, _header()) as write:
        write(event)
        write.end(ended="complete", violations=(), steps=4, choices=())

    file.seek(0)
    assert list(LogReader(file, "log")) == [event]


@pytest.mark.parametrize("event_type", EVENTS)
def test_the_schema_accepts_every_event_and_no_other_field(event_type: type[Event]) -> None:
    line = json.loads(encode_event(_sample(event_type)))
    validator = jsonschema.Draft202012Validator(schema())

    assert validator.is_valid(line)
    assert not validator.is_valid({**line, "extra": 1})
    assert not validator.is_valid({key: value for key, value in line.items() if key != "task"})


def test_the_schema_accepts_a_whole_log_and_refuses_addresses_as_numbers() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    lines = [json.loads(line) for line in log_bytes().splitlines()]

    assert all(validator.is_valid(line) for line in lines)
    pte = next(line for line in lines if line["ev"] == "pte_set")
    assert not validator.is_valid({**pte, "va": 0x10000})
    assert not validator.is_valid({**pte, "va": "0x010000"})


def test_the_schema_has_every_event_of_the_alphabet() -> None:
    parts = schema()["$defs"]

    assert isinstance(parts, dict)
    assert set(parts) == {each.__name__ for each in EVENTS} | {"RunHeader", "Verdict", "Violation", "Waiting"}
    assert set(LINE_TYPES) == {tag_of(each) for each in EVENTS}


def test_keys_stand_in_the_order_of_the_alphabet_and_addresses_are_hex() -> None:
    pte = next(line for line in log_bytes().splitlines() if b'"pte_set"' in line)

    assert pte == b'{"ev":"pte_set","step":2,"task":"main","mm":"mm0","va":"0x10000","pfn":3,"write":true}'


def test_address_fields_are_found_by_their_type() -> None:
    by_name = {each.__name__: va_fields(each) for each in EVENTS}

    assert by_name["WindowOpened"] == ("start", "end")
    assert by_name["SpteSet"] == ("va",)
    assert by_name["PageFreed"] == ()


def test_header_and_verdict_come_back_as_they_were() -> None:
    reader = LogReader(io.BytesIO(log_bytes()), "log")
    assert list(reader) == events()

    assert reader.header == HEADER
    assert reader.verdict is not None
    assert reader.verdict.choices == (1, 0, 2)
    assert reader.verdict.verdict == "violated"
    assert reader.complete


def test_the_same_run_gives_the_same_bytes() -> None:
    assert log_bytes() == log_bytes()


def test_a_crash_leaves_every_line_that_was_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    writer = Writer.to(path, HEADER)
    for _ in range(LINES_HELD_MAX + 10):
        writer(events()[0])
    # No end, no close: what stands in the file now is what a kill would leave.
    left = path.read_bytes()

    assert left.endswith(b"\n")
    assert left.count(b"\n") == LINES_HELD_MAX + 1
    reader = LogReader(io.BytesIO(left), "log")
    assert len(list(reader)) == LINES_HELD_MAX
    assert not reader.complete
    writer.__exit__(None, None, None)


def test_an_event_that_ends_a_run_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    writer = Writer.to(path, HEADER)
    writer(events()[0])
    writer(Interrupted(1, "main"))

    assert b'"interrupted"' in path.read_bytes()
    writer.__exit__(None, None, None)


def test_an_exception_in_the_middle_leaves_every_event(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    def fail_in_the_middle() -> None:
        with Writer.to(path, HEADER) as write:
            write(events()[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()
    with path.open("rb") as file:
        assert list(LogReader(file, "log")) == events()[:1]


def test_a_sink_that_takes_a_line_in_pieces_gets_all_of_it() -> None:
    class Slow(io.RawIOBase):
        """Takes five bytes at a time, as a full pipe may."""

        def __init__(self) -> None:
            self.taken = b""

        def writable(self) -> bool:
            return True

        def write(self, data: memoryview) -> int:  # type: ignore[override]  # all it is given
            self.taken += bytes(data[:5])
            return min(5, len(data))

    slow = Slow()
    with Writer(slow, HEADER) as write:  # type: ignore[arg-type]  # raw files do
        write(events()[0])
    assert len(slow.taken.splitlines()) == 2


def test_a_verdict_needs_an_undamaged_end() -> None:
    for ended, verdict in (("complete", "no-violation-within"), ("interrupted", "undecided"), ("raised", "undecided")):
        file = io.BytesIO()
        written = Writer(file, HEADER).end(ended=ended, violations=(), steps=0, choices=())  # type: ignore[arg-type]
        assert written.verdict == verdict


def test_addresses_at_both_ends_of_the_space_come_back() -> None:
    for va in (Va(0), Va((1 << 47) - 4096), Va((1 << 64) - 1)):
        line = json.loads(encode_event(msgspec.structs.replace(_sample_pte(), va=va)))
        assert int(line["va"], 16) == va


def _sample_pte() -> Event:
    return next(event for event in events() if type(event).__name__ == "PteSet")
