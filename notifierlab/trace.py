"""How a run is written: a header line, one line an event, a verdict line.

The header says what was run and how, the verdict how it ended and by which choices;
between them stand the events in the order they happened. Lines go through a structlog
pipeline with one processor, the plain function that encodes, into a sink of our own:
the stock loggers take a lock and flush at every line, which costs ten times the rest.

The sink writes whole lines only, and writes at once what matters most, so that a log
cut off by a crash is a shorter log and no broken one. `reading.py` reads it back.
"""

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal, Protocol, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from notifierlab.events import (
    BugHit,
    Deadlocked,
    Event,
    FORMAT_VERSION,
    Interrupted,
    StepsExhausted,
    TaskRaised,
    Violation,
)
from notifierlab.wire import encode_event, LINE_TYPES

LINES_HELD_MAX: Final = 256
"""How many finished lines may wait in memory; a crash loses no more than these."""

Ended = Literal["complete", "deadlock", "livelock", "raised", "interrupted"]
VerdictWord = Literal["proved", "violated", "no-violation-within", "undecided"]

_WRITTEN_AT_ONCE: Final = frozenset({BugHit, Deadlocked, Interrupted, StepsExhausted, TaskRaised})


class RunHeader(BaseModel):
    """The first line of a log: what was run, and how to run it again.

    `switches` is the profile as it was resolved, since rules depend on it; `schedule`
    is what was asked for, the verdict line has the choices that were made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ev: Literal["run"] = "run"
    format: Literal[1] = FORMAT_VERSION
    scenario: str
    params: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    profile: str
    switches: dict[str, bool | int | str]
    mutants: tuple[str, ...] = ()
    driver: str | None = None
    carrier: Literal["bare", "trio"] = "bare"
    seed: int | None = None
    schedule: tuple[int, ...] = ()
    strict: bool = False
    external: bool = False
    steps_max: int = Field(ge=1)
    versions: dict[str, str] = Field(default_factory=dict)


class Verdict(
    msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="verdict", forbid_unknown_fields=True, kw_only=True
):
    """The last line of a log: what was found, how the run ended, the choices it made.

    `events` counts the lines between header and verdict: a log that lost one is found out.
    """

    verdict: VerdictWord
    ended: Ended
    violations: tuple[Violation, ...]
    steps: int
    events: int
    choices: tuple[int, ...]


class LineSink:
    """Writes whole lines to a file, many at a time. It closes nothing it did not open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held: list[bytes] = []

    def msg(self, line: bytes) -> None:
        """Takes one finished line; structlog calls this for each."""
        self._held.append(line)
        if len(self._held) >= LINES_HELD_MAX:
            self.flush()

    def flush(self) -> None:
        """Hands every finished line to the operating system."""
        held, self._held = self._held, []
        data = memoryview(b"".join(held))
        # An unbuffered file may take less than it is given.
        while len(data) > 0:
            data = data[self._file.write(data) or 0 :]
        self._file.flush()


class Writer:
    """Writes the log of one run: make it with the header, call it with each event, `end` it."""

    def __init__(self, file: BinaryIO, header: RunHeader) -> None:
        self._sink = LineSink(file)
        self._log = _pipeline(self._sink)
        self._events = 0
        self._owned: BinaryIO | None = None
        self._log.msg(header)
        self._sink.flush()

    @classmethod
    def to(cls, path: Path, header: RunHeader) -> Self:
        """A writer to a new file at `path`; use it in a `with` statement."""
        file = path.open("wb", buffering=0)
        writer = cls(file, header)
        writer._owned = file
        return writer

    def __call__(self, event: Event) -> None:
        """Writes one event."""
        self._events += 1
        self._log.msg(event)
        if type(event) in _WRITTEN_AT_ONCE:
            self._sink.flush()

    def end(
        self,
        *,
        ended: Ended,
        violations: tuple[Violation, ...],
        steps: int,
        choices: tuple[int, ...],
    ) -> Verdict:
        """Writes the verdict line; nothing may follow it."""
        verdict = Verdict(
            verdict=verdict_of(violations, complete=ended not in ("interrupted", "raised")),
            ended=ended,
            violations=violations,
            steps=steps,
            events=self._events,
            choices=choices,
        )
        self._log.msg(verdict)
        self._sink.flush()
        return verdict

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sink.flush()
        if self._owned is not None:
            self._owned.close()


def mark_external(path: Path) -> None:
    """Changes the header of a log to say that a task waited outside the machine, which only the run shows.

    Both words take the same room, so nothing else in the file moves.
    """
    before, after = b'"external":false', b'"external": true'
    with path.open("r+b") as file:
        place = file.readline().find(before)
        if place >= 0:
            file.seek(place)
            file.write(after)


def verdict_of(violations: Sequence[Violation], *, complete: bool) -> VerdictWord:
    """The verdict on one run: what was found stands, however the run ended."""
    if violations:
        return "violated"
    return "no-violation-within" if complete else "undecided"


def schema() -> dict[str, object]:
    """The JSON Schema of one line of a log: the header, an event, or the verdict."""
    types: list[type[msgspec.Struct]] = [*LINE_TYPES.values(), Verdict]
    _, parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    header = RunHeader.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
    names = ["RunHeader", *(each.__name__ for each in types)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"One line of a notifierlab log, format {FORMAT_VERSION}",
        "description": "A log is a `run` line, then events whose `step` never decreases, then a `verdict` line.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in names],
        "$defs": {"RunHeader": header, **parts},
    }


# --- the pipeline -------------------------------------------------------------------


class _Log(Protocol):
    def msg(self, event: object) -> object: ...


def _pipeline(sink: LineSink) -> _Log:
    # Imported here since reading a log needs none of it.
    import structlog

    lazy = structlog.wrap_logger(
        sink, processors=[_encode_line], wrapper_class=structlog.BoundLogger, context_class=dict
    )
    log: _Log = lazy.bind()
    return log


def _encode_line(_logger: object, _method: str, event_dict: MutableMapping[str, object]) -> bytes:
    line = event_dict["event"]
    if isinstance(line, Event):
        return encode_event(line) + b"\n"
    if isinstance(line, RunHeader):
        return line.model_dump_json().encode() + b"\n"
    return msgspec.json.encode(line) + b"\n"
