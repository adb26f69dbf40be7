"""The pictures of a run: lanes on paper, a trace for Perfetto, and the page, each read back."""

import gzip
import html.parser
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from notifierlab import events as e, recheck
from notifierlab.checker import RULES
from notifierlab.events import Event, EVENTS, Va
from notifierlab.report.page import log_of, page, schedule_words, SCRIPTS
from notifierlab.report.page.data import FAMILIES
from notifierlab.report.perfetto import nested, trace
from notifierlab.report.spans import NEVER, Span
from notifierlab.report.stories import plain, PLAIN_ROWS_MAX, stories, STORIES_MAX
from notifierlab.report.svg import drawing
from notifierlab.report.timeline import Run, timeline
from tests.sample_log import log_bytes
from tests.story_book import HOME, log_of as kept, STORIES

SVG = "{http://www.w3.org/2000/svg}"


def _run(name: str = "founding-race") -> Run:
    return recheck.run_of(str(HOME / kept(name)))


@pytest.fixture
def sample(tmp_path: Path) -> Run:
    path = tmp_path / "run.jsonl"
    path.write_bytes(log_bytes())
    return recheck.run_of(str(path))


def _clean(run: Run) -> Run:
    return replace(run, violations=(), places=(), verdict="no-violation-within")


# --- lanes on paper -------------------------------------------------------------------


def _drawn(run: Run) -> ET.Element:
    rows = stories(run)[0].rows if run.violations else plain(run)
    return ET.fromstring(drawing(run, timeline(run.events, run.violations), rows))


def _texts(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", STORIES)
def test_every_kept_story_is_drawn_as_xml_with_all_its_words(name: str) -> None:
    run = _run(name)
    drawn = " ".join(_texts(_drawn(run)))

    for row in stories(run)[0].rows:
        for word in row.text.split():
            assert word in drawn


def test_a_drawing_has_a_title_lanes_bands_and_the_life_of_the_page() -> None:
    root = _drawn(_run())
    texts = _texts(root)

    assert root.findtext(f"{SVG}title") == "freed-while-reachable: founding-race"
    for words in (
        "main",
        "truncator",
        "vm",
        "page 2",
        "host",
        "kvm0",
        "mapped",
        "unmapped",
        "maps it",
        "still maps it",
    ):
        assert words in texts
    assert texts[-1].startswith("notifierlab replay ") or any(each.startswith("notifierlab replay ") for each in texts)
    # One band for the window that opens in the story, and its edge.
    assert len([each for each in root.iter(f"{SVG}rect") if each.get("fill") == "#fdf3dc"]) == 1
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for rectangle in list(root.iter(f"{SVG}rect"))[1:]:
        assert float(rectangle.get("x", 0)) + float(rectangle.get("width", 0)) <= width
        assert float(rectangle.get("y", 0)) + float(rectangle.get("height", 0)) <= height + 1


def test_a_drawing_asks_for_no_file_and_has_fonts_that_fall_back() -> None:
    text = drawing(_run(), timeline(_run().events), stories(_run())[0].rows)

    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert "href" not in text
    assert all(family.endswith(("sans-serif", "monospace")) for family in re.findall(r'font-family="([^"]*)"', text))


def test_names_that_are_markup_or_no_xml_at_all_are_drawn_as_they_are(sample: Run) -> None:
    wild = replace(sample, header=sample.header.model_copy(update={"scenario": '<a href="x">&\x00\x1b'}))
    root = _drawn(wild)

    assert root.findtext(f"{SVG}title") == 'freed-while-reachable: <a href="x">&\ufffd\ufffd'
    assert not list(root.iter(f"{SVG}a"))


def test_a_run_without_a_violation_is_drawn_from_its_beginning(sample: Run) -> None:
    texts = _texts(_drawn(_clean(sample)))

    assert "No violation" in texts
    assert "frees page 3" in texts
    assert not any(text.startswith("takes ") for text in texts)
    assert "Undecided" in _texts(_drawn(replace(_clean(sample), verdict="undecided", complete=False, events=())))


def test_a_long_run_without_a_story_is_cut(sample: Run) -> None:
    many: list[Event] = [e.PageFreed(n, "main", 3, 1) for n in range(PLAIN_ROWS_MAX + 5)]
    lines = plain(replace(sample, events=many))

    assert len(lines) == PLAIN_ROWS_MAX + 1
    assert lines[-1].text == "... 5 later events are left out ..."


def test_each_rule_has_its_story_and_notes_know_their_place() -> None:
    run = _run()
    tales = stories(run)

    assert [tale.violation.rule for tale in tales] == list(dict.fromkeys(each.rule for each in run.violations))
    assert len(tales) <= STORIES_MAX <= len(RULES)
    rows = tales[0].rows
    assert Counter(row.kind for row in rows)["strong"] == 1
    for row in rows:
        assert row.place >= 0
        assert run.events[row.place].step == row.step


# --- a trace for Perfetto -------------------------------------------------------------


def _parsed(run: Run) -> Any:
    parsed = Trace()
    parsed.ParseFromString(trace(run, timeline(run.events, run.violations)))
    return parsed


def _tracks(parsed: Any) -> dict[int, Any]:
    return {
        each.track_descriptor.uuid: each.track_descriptor for each in parsed.packet if each.HasField("track_descriptor")
    }


def _marks(parsed: Any) -> list[Any]:
    return [each for each in parsed.packet if each.HasField("track_event")]


def _notes(packet: Any) -> dict[str, int | str]:
    return {
        note.name: note.int_value if note.HasField("int_value") else note.string_value
        for note in packet.track_event.debug_annotations
    }


@pytest.mark.parametrize("name", STORIES)
def test_slices_of_every_track_nest_and_time_never_goes_back(name: str) -> None:
    parsed = _parsed(_run(name))
    tracks = _tracks(parsed)
    open_slices: Counter[int] = Counter()
    last = -1
    for packet in _marks(parsed):
        assert packet.timestamp >= last
        assert packet.track_event.track_uuid in tracks
        last = packet.timestamp
        kind = packet.track_event.type
        open_slices[packet.track_event.track_uuid] += {
            TrackEvent.TYPE_SLICE_BEGIN: 1,
            TrackEvent.TYPE_SLICE_END: -1,
        }.get(kind, 0)
        assert open_slices[packet.track_event.track_uuid] >= 0


def test_every_track_stands_under_one_that_was_described_before() -> None:
    described: list[int] = []
    for packet in _parsed(_run()).packet:
        if packet.HasField("track_descriptor"):
            descriptor = packet.track_descriptor
            assert not descriptor.HasField("parent_uuid") or descriptor.parent_uuid in described
            described.append(descriptor.uuid)
        assert packet.trusted_packet_sequence_id == 1
    assert len(described) == len(dict.fromkeys(described))


def test_each_window_has_a_track_of_its_own_and_all_are_named_alike() -> None:
    run = _run()
    parsed = _parsed(run)
    tracks = _tracks(parsed)
    windows = [each for each in _marks(parsed) if each.track_event.name.startswith("window [")]

    assert len(windows) == len([event for event in run.events if isinstance(event, e.WindowOpened)]) - 1  # "everything"
    assert len({each.track_event.track_uuid for each in windows}) == len(windows)
    assert {tracks[each.track_event.track_uuid].name for each in windows} == {"windows"}
    assert _notes(windows[0]) | {"win": "win1.1", "mm": "mm0", "start": "0x10000", "end": "0x11000"} == _notes(
        windows[0]
    )


def test_arrows_lead_from_the_window_over_the_free_to_the_stale_use(sample: Run) -> None:
    marks = _marks(_parsed(sample))
    (flow,) = {flow for packet in marks for flow in packet.track_event.flow_ids}
    names = [packet.track_event.name for packet in marks if flow in packet.track_event.flow_ids]

    assert names == [
        "window [0x10000,0x11000)",
        "clears pte 0x10000 (page 3)",
        "free page 3",
        "kvm0.vcpu0 writes page 3",
    ]


def test_one_microsecond_is_one_step_and_each_event_knows_its_line(sample: Run) -> None:
    free = next(each for each in _marks(_parsed(sample)) if each.track_event.name == "free page 3")

    assert free.timestamp // 1000 == 16
    assert free.track_event.type == TrackEvent.TYPE_INSTANT
    notes = _notes(free)
    place = next(n for n, event in enumerate(sample.events) if isinstance(event, e.PageFreed))
    assert notes == {"step": 16, "line of the log": place + 2, "pfn": 3, "gen": 1}


def test_violations_tasks_translations_and_counts_have_their_tracks(sample: Run) -> None:
    parsed = _parsed(sample)
    tracks = _tracks(parsed)
    on: dict[str, list[Any]] = {}
    for packet in _marks(parsed):
        on.setdefault(tracks[packet.track_event.track_uuid].name, []).append(packet)

    assert [each.track_event.name for each in on["violations"]][-1] in {rule.id for rule in RULES}
    assert "freed-while-reachable" in [each.track_event.name for each in on["violations"]]
    assert {"truncate", "register", "vcpu0", "locks held", "translations", "page 3"} <= set(on)
    stale = [each.track_event.counter_value for each in on["stale translations"]]
    assert stale == [1, 2]
    assert "founding-race" in next(each for each in tracks.values() if each.name == "violations").description


def test_what_does_not_nest_is_ended_with_what_it_stands_in() -> None:
    spans = [
        Span(kind="op", lane=0, label=str(n), begin=begin, end=end)
        for n, (begin, end) in enumerate([(0, 4), (1, 6), (2, NEVER)])
    ]
    told = [(place, kind, span.label) for place, kind, span in nested(spans)]

    assert told == [(0, 1, "0"), (1, 1, "1"), (2, 1, "2"), (4, 2, "2"), (4, 2, "1"), (4, 2, "0")]


def test_a_run_without_events_is_a_trace(sample: Run) -> None:
    assert _marks(_parsed(replace(sample, events=(), violations=(), places=()))) == []


# --- the page -------------------------------------------------------------------------


class _Reader(html.parser.HTMLParser):
    """What a page consists of: elements with their attributes, and the texts of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)


def _page(run: Run) -> str:
    return page(run, timeline(run.events, run.violations))


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    read = _Reader(_page(_run()))
    policy = next(
        attributes["content"] for tag, attributes in read.elements if "http-equiv" in attributes and tag == "meta"
    )

    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    for _, attributes in read.elements:
        assert attributes.get("src") is None
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))


def test_the_verdict_the_rule_and_the_story_stand_in_the_page_itself() -> None:
    text = _page(_run())
    before_script = text.partition('<script type="application/json"')[0]

    for words in (
        '<p class="stamp" id="verdict-word">Violated</p>',
        '<h1 id="verdict">freed-while-reachable</h1>',
        "No page reaches the freelist while a device translates to it.",
        "opens window [0x10000,0x11000): nobody hears it",
        "founding-race.jsonl</code>",
        "carry on 5 times",
        "take alternative 1",
    ):
        assert words in before_script
    assert (
        before_script.index('id="verdict"') < before_script.index('id="timeline"') < before_script.index('id="ledger"')
    )


def test_the_data_of_the_page_says_what_the_log_says() -> None:
    run = _run()
    data = json.loads(re.search(r'<script type="application/json" id="run">(.*?)</script>', _page(run), re.DOTALL)[1])  # type: ignore[index]
    strings, columns = data["strings"], data["events"]

    assert columns["step"] == [event.step for event in run.events]
    assert [data["lanes"][lane][1] for lane in columns["task"]] == [event.task for event in run.events]
    freed = run.places[0]
    assert strings[columns["text"][freed]] == "frees page 2"
    assert data["kinds"][columns["kind"][freed]] == ["page_freed", "host", "host", ["pfn", "gen"]]
    assert data["pageSets"][data["pages"][freed]] == [2]
    assert data["violations"][0] == ["freed-while-reachable", run.violations[0].message, freed]
    assert len(data["spans"]) % 8 == 0
    assert data["ledger"]["rows"][0][-1] == "NOT ANNOUNCED"
    assert len(columns["values"]) == sum(len(event.__struct_fields__) - 2 for event in run.events)


def test_a_log_cannot_put_markup_or_script_into_the_page(sample: Run) -> None:
    evil = "</script><script>alert(1)</script><b onload=x>"
    events = [*sample.events, e.TaskRaised(30, evil, evil, evil)]
    text = _page(replace(sample, events=events, name=evil, header=sample.header.model_copy(update={"scenario": evil})))

    assert "alert(1)</script>" not in text
    assert "<b onload" not in text
    assert len([tag for tag, _ in _Reader(text).elements if tag == "script"]) == 3


@pytest.mark.parametrize("verdict", ["no-violation-within", "undecided"])
def test_a_run_without_a_violation_is_still_a_page(sample: Run, verdict: Any) -> None:
    text = _page(replace(_clean(sample), verdict=verdict, ledger=(), notes=("A note.",)))

    assert {"no-violation-within": "Every rule held in this run", "undecided": "not all was seen"}[verdict] in text
    assert "A note." in text
    assert "No page was freed while a secondary MMU was registered." in text
    assert 'value="story"' not in text


def test_a_run_without_events_is_still_a_page(sample: Run) -> None:
    assert "0 events in 0 steps" in _page(replace(_clean(sample), events=(), claimed=None))


@pytest.mark.parametrize("name", STORIES)
def test_the_page_carries_the_log_byte_for_byte(name: str) -> None:
    assert gzip.decompress(log_of(_run(name))) == (HOME / kept(name)).read_bytes()


def test_a_log_that_was_cut_off_is_carried_as_far_as_it_could_be_read(sample: Run) -> None:
    lines = log_bytes().splitlines(keepends=True)
    assert gzip.decompress(log_of(replace(sample, claimed=None))) == b"".join(lines[:-1])


def test_the_same_log_gives_the_same_bytes(sample: Run) -> None:
    line = timeline(sample.events)
    assert _page(sample) == _page(sample)
    assert trace(sample, line) == trace(sample, line)


def test_the_schedule_is_told_by_what_departs_from_carrying_on() -> None:
    assert schedule_words((0, 0, 2, 2, 0)) == [
        "carry on 2 times",
        "take alternative 2",
        "take alternative 2",
        "carry on",
    ]
    assert schedule_words(()) == []


def test_the_replay_command_can_be_pasted(sample: Run) -> None:
    run = replace(sample, name="a b.jsonl")
    assert run.replay == "notifierlab replay 'a b.jsonl'"
    assert "notifierlab replay 'a b.jsonl'" in _texts(_drawn(run))
    assert replace(sample, name="-").replay == ""


def test_only_pytest_runs_the_log_of_a_test_again(sample: Run) -> None:
    of_test = sample.header.model_copy(update={"scenario": "tests/test_it.py::test_it"})
    run = replace(sample, name="a.jsonl", header=of_test)
    command = "pytest tests/test_it.py::test_it --notifierlab-replay a.jsonl"
    assert run.replay == command
    assert command in _texts(_drawn(run))
    assert command in page(run, timeline(run.events, run.violations))


def test_every_event_has_a_family_with_a_name() -> None:
    assert {kind.__module__.rpartition(".")[2] for kind in EVENTS} == set(FAMILIES)


def test_no_part_of_the_page_is_crowded() -> None:
    place = HOME / "notifierlab" / "report" / "page"
    parts = [path for path in sorted(place.iterdir()) if path.suffix in (".js", ".css", ".j2")]

    assert {path.stem for path in parts if path.suffix == ".js"} == set(SCRIPTS)
    assert {path.name: n for path in parts if (n := len(path.read_text(encoding="utf-8").splitlines())) > 450} == {}
    for path in parts:
        if path.suffix == ".js":
            assert path.read_text(encoding="utf-8").startswith("// "), f"{path.name} does not say what it is"
            assert "innerHTML" not in path.read_text(encoding="utf-8"), "texts come from logs: use textContent"


def test_an_address_is_written_in_hex_wherever_it_stands(sample: Run) -> None:
    data = json.loads(re.search(r'id="run">(.*?)</script>', _page(sample), re.DOTALL)[1])  # type: ignore[index]

    assert hex(Va(0x10000)) in data["strings"]
    assert str(0x10000) not in data["strings"]
