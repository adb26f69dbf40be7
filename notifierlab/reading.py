"""How a log is read back: strictly, line by line, and with an answer for each bad line.

A line is decoded against the closed set of events, so what passes has every field, of
the right type, and nothing else. What does not pass is a `LogError` that says file,
line, column, field, and what to do.

A log without its verdict line was cut off. That is no error: what is there is given
out, and `complete` is false at the end. A last line that is only half there counts as
not written. Not verified here: whether the events make sense together; that is the
checker's work.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, Union

import msgspec
import pydantic

from notifierlab.errors import InputError, nearest
from notifierlab.events import Event, FORMAT_VERSION
from notifierlab.trace import RunHeader, Verdict
from notifierlab.wire import event_of, LINE_TYPES

_Line = Union[(*LINE_TYPES.values(), Verdict)]  # type: ignore[valid-type]
_decoder: Final = msgspec.json.Decoder(_Line)

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TAGS: Final = (*LINE_TYPES, "verdict")

_WORDS: Final = {
    "int": "an integer",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "an object in braces",
    "float": "a number with a fraction",
    "null": "null",
}


class LogError(InputError):
    """A line of a log that cannot be used: where it stands, why, and what to do."""

    def __init__(self, file: str, line: int, column: int, problem: str, remedy: str, *, field: str = "") -> None:
        self.file = file
        self.line = line
        self.column = column
        self.field = field
        where = f"{file}, line {line}, column {column}"
        if field:
            where += f", field `{field}`"
        super().__init__(f"{where}: {problem}. {remedy}")


class LogReader:
    """One log: `header` at once, the events by iterating, `verdict` and `complete` after that.

    Args:
        file: the log, open for reading bytes.
        name: what messages call it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.verdict: Verdict | None = None
        self.events_read = 0
        self._file = file
        self._line = 1
        self.header: RunHeader = self._read_header()

    @property
    def complete(self) -> bool:
        """Whether the verdict line was reached."""
        return self.verdict is not None

    def __iter__(self) -> Iterator[Event]:
        step = 0
        for raw in self._file:
            self._line += 1
            if self.verdict is not None:
                raise self._error(1, "a line after the verdict", "The verdict line ends a log; remove what follows it.")
            line = self._decode(raw)
            if line is None:
                return
            if isinstance(line, Verdict):
                self._take_verdict(line)
                continue
            event = event_of(line)
            if event.step < step:
                raise self._error(
                    _column_of(raw, "step"),
                    f"step {event.step} after step {step}",
                    "Steps never decrease: lines were reordered or altered; take the log as it was written.",
                    field="step",
                )
            step = event.step
            self.events_read += 1
            yield event

    def _decode(self, raw: bytes) -> msgspec.Struct | None:
        """The line as a struct; None when it is the torn end of a log that was cut off."""
        try:
            line: msgspec.Struct = _decoder.decode(raw)
        except _UNREADABLE as error:
            if not raw.endswith(b"\n") and _syntax_error(raw) is not None:
                return None
            raise self._explain(raw, str(error)) from None
        return line

    def _take_verdict(self, verdict: Verdict) -> None:
        if verdict.events != self.events_read:
            raise self._error(
                1,
                f"the verdict counts {verdict.events} events, the log holds {self.events_read}",
                "Lines were removed or added; take the log as it was written.",
                field="events",
            )
        self.verdict = verdict

    # --- the header ---------------------------------------------------------------

    def _read_header(self) -> RunHeader:
        raw = self._file.readline()
        if not raw:
            raise self._error(1, "the log is empty", "Write one with `notifierlab run SCENARIO --log FILE`.")
        self._check_is_header(raw)
        try:
            return RunHeader.model_validate_json(raw)
        except pydantic.ValidationError as error:
            raise self._explain_header(raw, error) from None

    def _explain_header(self, raw: bytes, error: pydantic.ValidationError) -> LogError:
        # A misspelt key is both missing and unknown; the unknown one tells more.
        details = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
        first = details[0]
        unknown = first["type"] == "extra_forbidden"
        # The path ends with the branch of a union that was tried; that is no field.
        path = [str(part) for part in first["loc"] if part not in ("bool", "int", "str", "float")]
        problem = "a run header has no such field" if unknown else _first_small(first["msg"])
        near = nearest(path[-1], RunHeader.model_fields) if unknown else ""
        remedy = f"Did you mean `{near}`?" if near else "`notifierlab schema` shows what a run line holds."
        column = _column_of(raw, path[-1]) if path else 1
        return self._error(column, problem, remedy, field=".".join(path))

    def _check_is_header(self, raw: bytes) -> None:
        if _syntax_error(raw) is not None:
            raise self._explain(raw, "")
        line = msgspec.json.decode(raw)
        if not isinstance(line, dict) or line.get("ev") != "run":
            raise self._error(
                1,
                'the first line is not a run header (`{"ev":"run",...}`)',
                "Either its first line was lost, or this is no notifierlab log.",
            )
        if line.get("format") != FORMAT_VERSION:
            raise self._error(
                _column_of(raw, "format"),
                f"the log has format {line.get('format')!r}, this notifierlab reads format {FORMAT_VERSION}",
                "Read it with the version of notifierlab that wrote it"
                f" ({_versions(line.get('versions'))}), or make it again with this one.",
                field="format",
            )

    # --- what is wrong with a line ------------------------------------------------

    def _error(self, column: int, problem: str, remedy: str, *, field: str = "") -> LogError:
        return LogError(self.name, self._line, column, problem, remedy, field=field)

    def _explain(self, raw: bytes, message: str) -> LogError:
        if not raw.strip():
            return self._error(1, "an empty line", "Remove it: every line of a log is one JSON object.")
        syntax = _syntax_error(raw)
        if syntax is not None:
            remedy = "Every line of a log is one JSON object; this one was damaged, or the file is no log."
            return self._error(*syntax, remedy)
        return self._explain_structure(raw, message)

    def _explain_structure(self, raw: bytes, message: str) -> LogError:
        line = msgspec.json.decode(raw)
        if not isinstance(line, dict):
            return self._error(1, f"not an event: {_shown(line)}", "Every line of a log is one JSON object.")
        tag = line.get("ev")
        if tag not in _TAGS:
            return self._explain_tag(raw, tag, known="ev" in line)
        fields = _fields_of(tag)
        if found := re.search(r"missing required field `(.*?)`", message):
            return self._error(
                len(raw.rstrip(b"\n")),
                f"`{tag}` lacks it",
                f"A `{tag}` has the fields {', '.join(fields)}.",
                field=found[1],
            )
        if found := re.search(r"unknown field `(.*?)`", message):
            near = nearest(found[1], fields)
            remedy = f"Did you mean `{near}`? " if near else ""
            remedy += f"A `{tag}` has the fields {', '.join(fields)}."
            return self._error(_column_of(raw, found[1]), f"`{tag}` has no such field", remedy, field=found[1])
        return self._explain_value(raw, line, tag, message)

    def _explain_tag(self, raw: bytes, tag: object, *, known: bool) -> LogError:
        if tag == "run":
            problem, remedy = "a second run header", "One log holds one run; cut the file in two here."
        elif not known:
            problem, remedy = "no event: it lacks `ev`", "The key `ev` names the event; `notifierlab schema` has them."
        else:
            near = nearest(str(tag), _TAGS)
            problem = f"there is no event {_shown(tag)}"
            remedy = f"Did you mean `{near}`? " if near else ""
            remedy += "`notifierlab schema` has all events."
        return self._error(_column_of(raw, "ev"), problem, remedy, field="ev")

    def _explain_value(self, raw: bytes, line: dict[str, object], tag: str, message: str) -> LogError:
        what, _, path = message.partition(" - at ")
        field = path.strip("`").removeprefix("$").removeprefix(".")
        name = re.split(r"[.\[]", field)[0]
        problem = re.sub(r"`(\w+)`", lambda found: _WORDS.get(found[1], found[0]), what)
        if "matching regex" in problem:
            problem = "expected an address as a hex string, like `0x10000`"
        elif problem.startswith("Invalid"):
            problem = "it is not one of the words that may stand here"
        return self._error(
            _column_of(raw, name),
            f"{_first_small(problem)}; here stands {_shown(line.get(name))}",
            f"`notifierlab schema` shows what a `{tag}` holds.",
            field=field,
        )


def _syntax_error(raw: bytes) -> tuple[int, str] | None:
    """Column and sentence, when the line is no JSON at all."""
    try:
        raw.decode()
        msgspec.json.decode(raw)
    except UnicodeDecodeError as error:
        return error.start + 1, "not UTF-8"
    except RecursionError:
        return 1, "not JSON of ours: nested too deep"
    except msgspec.DecodeError as error:
        message = str(error)
        at = re.search(r"\(byte (\d+)\)", message)
        column = int(at[1]) + 1 if at else len(raw.rstrip(b"\n")) + 1
        what = message.removeprefix("JSON is malformed: ").split(" (byte")[0]
        return column, "not JSON: " + ("the line ends too early" if "truncated" in what else _first_small(what))
    return None


def _fields_of(tag: str) -> Sequence[str]:
    return (Verdict if tag == "verdict" else LINE_TYPES[tag]).__struct_fields__


def _column_of(raw: bytes, key: str) -> int:
    """Where `key` stands on the line, counted from 1; 1 when it does not."""
    found = re.search(rb'"' + re.escape(key.encode()) + rb'"\s*:', raw)
    return found.start() + 1 if found else 1


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 40 else f"`{text[:37]}...`"


def _first_small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _versions(versions: object) -> str:
    if isinstance(versions, dict) and isinstance(versions.get("notifierlab"), str):
        return f"notifierlab {versions['notifierlab']}"
    return "the header does not say which"
