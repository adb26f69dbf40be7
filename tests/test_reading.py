"""A bad line is refused with its place, its field and a remedy; a random edit never crashes."""

import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from notifierlab.errors import nearest
from notifierlab.reading import LogError, LogReader
from notifierlab.recheck import check_log
from tests.sample_log import log_bytes

LINES = log_bytes().splitlines(keepends=True)
PTE = next(n for n, line in enumerate(LINES) if b'"pte_set"' in line)


def _read(data: bytes) -> LogReader:
    reader = LogReader(io.BytesIO(data), "x.jsonl")
    for _ in reader:
        pass
    return reader


def _with_line(number: int, change: Callable[[bytes], bytes]) -> bytes:
    lines = list(LINES)
    lines[number] = change(lines[number])
    return b"".join(lines)


def _refused(data: bytes) -> LogError:
    with pytest.raises(LogError) as caught:
        _read(data)
    return caught.value


@pytest.mark.parametrize(
    ("before", "after", "field", "says"),
    [
        (b'"pfn":3', b'"pfn":"3"', "pfn", 'expected an integer, got a string; here stands `"3"`'),
        (b'"va":"0x10000"', b'"va":65536', "va", "expected a string, got an integer"),
        (b'"va":"0x10000"', b'"va":"65536"', "va", "expected an address as a hex string"),
        (b'"va":"0x10000"', b'"va":"0x010000"', "va", "expected an address as a hex string"),
        (b'"pfn":3,', b"", "pfn", "`pte_set` lacks it. A `pte_set` has the fields step, task, mm, va, pfn, write"),
        (b'"pfn":3', b'"pfm":3', "pfm", "`pte_set` has no such field. Did you mean `pfn`?"),
        (b'"write":true', b'"write":1', "write", "expected true or false, got an integer"),
        (b'"ev":"pte_set"', b'"ev":"pte_sett"', "ev", "Did you mean `pte_set`?"),
        (b'"ev":"pte_set",', b"", "ev", "it lacks `ev`"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(before: bytes, after: bytes, field: str, says: str) -> None:
    data = _with_line(PTE, lambda line: line.replace(before, after))
    error = _refused(data)

    assert (error.file, error.line, error.field) == ("x.jsonl", PTE + 1, field)
    assert says in str(error)
    key = f'"{field}":'.encode()
    if key in data.splitlines()[PTE]:
        assert data.splitlines()[PTE][error.column - 1 :].startswith(key)


def test_a_line_that_is_no_json_is_refused_with_its_column() -> None:
    error = _refused(_with_line(PTE, lambda _: b"{oops\n"))

    assert (error.line, error.column) == (PTE + 1, 2)
    assert "not JSON" in str(error)


def test_a_line_that_is_no_text_is_refused_with_its_column() -> None:
    error = _refused(_with_line(PTE, lambda _: b'{"ev":"\xff"}\n'))

    assert (error.line, error.column) == (PTE + 1, 8)
    assert "not UTF-8" in str(error)


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"null\n", b'"pte_set"\n', b"[" * 20_000 + b"\n", b"7" * 6_000 + b"\n"]
)
def test_json_that_is_no_event_is_refused(line: bytes) -> None:
    assert _refused(_with_line(PTE, lambda _: line)).line == PTE + 1


def test_another_format_version_is_refused_and_says_who_wrote_it() -> None:
    error = _refused(_with_line(0, lambda line: line.replace(b'"format":1', b'"format":2')))

    assert error.field == "format"
    assert "the log has format 2, this notifierlab reads format 1" in str(error)
    assert "notifierlab 0.1.0" in str(error)


def test_a_log_without_its_header_is_refused() -> None:
    assert "the first line is not a run header" in str(_refused(b"".join(LINES[1:])))
    assert "the log is empty" in str(_refused(b""))


@pytest.mark.parametrize(
    ("before", "after", "field", "says"),
    [
        (b'"profile"', b'"profil"', "profil", "Did you mean `profile`?"),
        (b'"smp":true', b'"smp":1.5', "switches.smp", "`notifierlab schema`"),
        (b'"steps_max":100000', b'"steps_max":0', "steps_max", "greater than or equal to 1"),
        (b'"carrier":"bare"', b'"carrier":"asyncio"', "carrier", "'bare' or 'trio'"),
    ],
)
def test_a_wrong_header_field_is_named(before: bytes, after: bytes, field: str, says: str) -> None:
    error = _refused(_with_line(0, lambda line: line.replace(before, after)))

    assert (error.line, error.field) == (1, field)
    assert says in str(error)


def test_a_second_header_is_refused() -> None:
    assert "One log holds one run" in str(_refused(b"".join([*LINES[:3], LINES[0], *LINES[3:]])))


def test_lines_after_the_verdict_are_refused() -> None:
    assert "a line after the verdict" in str(_refused(b"".join([*LINES, LINES[1]])))


def test_steps_never_decrease() -> None:
    error = _refused(b"".join([*LINES[:4], LINES[10], *LINES[4:]]))

    assert error.field == "step"
    assert "Steps never decrease" in str(error)


def test_a_missing_event_is_noticed_by_the_count_of_the_verdict() -> None:
    error = _refused(b"".join(LINES[:5] + LINES[6:]))

    assert error.field == "events"
    assert f"counts {len(LINES) - 2} events, the log holds {len(LINES) - 3}" in str(error)


@pytest.mark.parametrize("kept", [1, 5, len(LINES) - 1])
def test_a_log_that_was_cut_off_gives_what_is_there(kept: int) -> None:
    reader = _read(b"".join(LINES[:kept]))

    assert reader.events_read == kept - 1
    assert not reader.complete


def test_half_a_last_line_counts_as_not_written() -> None:
    for cut in range(1, len(LINES[5]) - 1):
        reader = _read(b"".join(LINES[:5]) + LINES[5][:cut])
        assert (reader.events_read, reader.complete) == (4, False)


def test_a_whole_last_line_needs_no_newline() -> None:
    assert _read(log_bytes().rstrip(b"\n")).complete
    assert _refused(b"".join(LINES[:5]) + b'{"ev":"nothing"}').line == 6


def test_the_nearest_name_is_only_offered_when_it_is_near() -> None:
    assert nearest("pte_sett", ["pte_set", "page_freed"]) == "pte_set"
    assert nearest("zzz", ["pte_set", "page_freed"]) == ""


# --- random edits ---------------------------------------------------------------------

_PLACES = st.integers(0, len(LINES) - 1)
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5), st.just([])
)
_Edit = Callable[[list[bytes]], None]


@st.composite
def _edits(draw: st.DrawFn) -> _Edit:
    """One change to a log: remove, duplicate, move or alter a line, or damage its bytes."""
    kind = draw(st.sampled_from(["remove", "duplicate", "move", "alter", "byte"]))
    place, other = draw(_PLACES), draw(_PLACES)
    value, byte, choice = draw(_VALUES), draw(st.integers(0, 255)), draw(st.integers(0, 20))

    def alter(lines: list[bytes], n: int) -> None:
        try:
            line = json.loads(lines[n])
        except ValueError:
            return
        keys = list(line) if isinstance(line, dict) else []
        if keys:
            line[keys[choice % len(keys)]] = value
            lines[n] = json.dumps(line).encode() + b"\n"

    def edit(lines: list[bytes]) -> None:
        if not lines:
            return
        n, m = place % len(lines), other % len(lines)
        if kind == "remove":
            del lines[n]
        elif kind == "duplicate":
            lines.insert(m, lines[n])
        elif kind == "move":
            lines.insert(m, lines.pop(n))
        elif kind == "alter":
            alter(lines, n)
        else:
            line = bytearray(lines[n])
            if line:
                line[choice % len(line)] = byte
            lines[n] = bytes(line)

    return edit


@settings(max_examples=150, deadline=None)
@given(st.lists(_edits(), min_size=1, max_size=4))
def test_random_edits_are_refused_or_judged_but_never_crash(edits: list[_Edit]) -> None:
    lines = list(LINES)
    for edit in edits:
        edit(lines)
    try:
        checked = check_log(io.BytesIO(b"".join(lines)), "x.jsonl")
    except LogError as error:
        assert str(error)
        assert error.line >= 1
    else:
        assert checked.verdict in ("violated", "no-violation-within", "undecided")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read_but_never_crash(data: bytes) -> None:
    for log in (data, LINES[0] + data, b"".join(LINES[:-1]) + data):
        try:
            _read(log)
        except LogError as error:
            assert error.line >= 1
