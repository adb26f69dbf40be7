"""The page of a run in a real browser: it opens, is stepped through, filters, sorts, prints.

Times are printed by `benchmarks/report.py`; here it is only asked that what makes the page
quick is true: of a hundred thousand events a few dozen rows stand in the document.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from notifierlab.cli import _guarded
from tests.browser import browser, installed, LACKING, Page
from tests.sample_log import log_bytes
from tests.story_book import HOME, log_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not installed(), reason=LACKING)]

NODES_MAX = 3000
"""Elements of a page, however long the run."""


def _draw(log: Path | str, path: Path) -> Path:
    _guarded(["report", str(log), "-o", str(path), "--json"])
    return path


@pytest.fixture(scope="module")
def founding_race(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _draw(HOME / log_of("founding-race"), tmp_path_factory.mktemp("page") / "founding race.html")


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield Page(driver)


@pytest.fixture
def page(one_browser: Page, founding_race: Path) -> Iterator[Page]:
    """The page of the founding race, newly opened; whatever the test did, the console stayed silent."""
    one_browser.open(founding_race)
    one_browser.ask("localStorage.clear()")
    one_browser.open(founding_race)
    yield one_browser
    assert one_browser.complaints() == []


def _red(page: Page, *, left: float = 0, bottom: int = 100_000) -> int:
    """How many pixels have the colour of a violation, right of a part of the width, above a line."""
    count: int = page.driver.execute_script(
        """
        const canvas = document.getElementById("canvas");
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const [left, bottom] = arguments, from = Math.round(canvas.width * left);
        const { data } = copy.getImageData(from, 0, canvas.width - from, Math.min(bottom, canvas.height));
        const bad = getComputedStyle(document.documentElement).getPropertyValue("--bad").trim();
        const [r, g, b] = [1, 3, 5].map((at) => parseInt(bad.slice(at, at + 2), 16));
        let count = 0;
        for (let at = 0; at < data.length; at += 4)
            if (data[at] === r && data[at + 1] === g && data[at + 2] === b) count++;
        return count;
    """,
        left,
        bottom,
    )
    return count


# --- it opens -------------------------------------------------------------------------


def test_the_page_opens_with_the_verdict_and_the_moment_of_the_violation(page: Page) -> None:
    assert page.text("#verdict-word") == "VIOLATED"
    assert page.text("h1") == "freed-while-reachable"
    assert page.step() == "step 84 truncator frees page 2"
    assert "page 2 reached the freelist while a shadow entry of kvm0" in page.text("#detail")
    assert page.text("#count") == "17 of 225 events"
    # The flag above the lanes, and the bars of the device beside the free page.
    page.until(lambda: _red(page, bottom=20) > 800)
    assert _red(page, left=0.86) > 800
    assert not page.at("#failed").is_displayed()


def test_the_page_loads_nothing_but_itself(page: Page) -> None:
    assert page.ask("performance.getEntriesByType('resource').map((each) => each.name)") == []


# --- stepping -------------------------------------------------------------------------


def test_the_founding_race_is_stepped_through_by_keyboard(page: Page) -> None:
    page.press(Keys.HOME)
    assert page.step() == "step 23 main mm0 maps 0x10000 to page 2"

    seen = [page.step()]
    for _ in range(16):
        page.press(Keys.ARROW_RIGHT)
        seen.append(page.step())
    assert seen[1] == "step 33 truncator opens window [0x10000,0x11000)"
    assert "step 62 vm kvm0 maps 0x10000 to page 2" in seen
    assert "step 74 truncator clears pte 0x10000 (page 2)" in seen
    assert seen[-1] == "step 84 truncator frees page 2"

    page.press(Keys.ARROW_RIGHT)
    assert page.step() == seen[-1]
    page.press("k")
    assert page.step() == seen[-2]
    page.press("j")
    page.press(Keys.ARROW_UP)
    assert page.step() == "step 82 truncator closes window [0x10000,0x11000)"


def test_the_story_goes_along_and_leads_back(page: Page) -> None:
    page.press(Keys.HOME, Keys.ARROW_RIGHT)
    current = page.at("ol.story:not([hidden]) li[aria-current]")
    assert "opens window [0x10000,0x11000): nobody hears it" in current.text

    page.all("ol.story:not([hidden]) li.row")[-1].click()
    assert page.step() == "step 84 truncator frees page 2"
    assert page.ask("location.hash") == "#event=116"


def test_a_link_to_an_event_opens_there(page: Page, founding_race: Path) -> None:
    page.open(founding_race, "#event=0")
    assert page.text("#detail .head b") == "main"
    assert "line 2 of the log" in page.text("#detail .kind")


def test_violations_are_visited_by_a_key_and_each_has_its_story(page: Page) -> None:
    page.press(Keys.HOME, "v")
    assert "take-all-incomplete" in page.text("#detail")
    page.press("v")
    assert "registered-mid-window" in page.text("#detail")

    page.at("#tab-violations").click()
    page.all(".violation")[1].click()
    page.at("#tab-story").click()
    assert page.at("ol.story:not([hidden])").get_attribute("data-rule") == "freed-unannounced"
    assert "freed-unannounced" in page.text("#detail")


def test_the_pointer_tells_what_is_under_it(page: Page) -> None:
    # The last column of the story, on the line of the truncator.
    page.driver.execute_script("""
        const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect();
        const at = { clientX: box.left + box.width * .845, clientY: box.top + 46 + 118, bubbles: true };
        canvas.dispatchEvent(new PointerEvent("pointermove", at));
    """)
    assert page.text("#tip").startswith("84truncator frees page 2")
    assert "breaks freed-while-reachable" in page.text("#tip")


def test_zooming_in_and_out_ends_where_it_began(page: Page) -> None:
    page.show("all")
    assert not page.at("#overview").is_displayed()
    page.press("+", "+")
    assert page.at("#overview").is_displayed()
    page.press("0")
    assert not page.at("#overview").is_displayed()


# --- filters --------------------------------------------------------------------------


def test_filters_by_task_page_and_event(page: Page) -> None:
    page.at("#tab-events").click()
    page.choose("#f-task", "vm")
    assert page.at("input[value=told]").is_selected()
    assert {row.text for row in page.all("#events .task")} == {"vm"}

    page.at("#f-clear").click()
    page.choose("#f-page", "page 2")
    rows = " / ".join(_events(page))
    assert "truncator frees page 2" in rows
    assert "truncator opens window [0x10000,0x11000)" in rows
    assert "page 1" not in rows
    assert "mmap_sem" not in rows

    page.at("#f-clear").click()
    page.choose("#f-kind", "page freed")
    assert [row.split(" ", 2)[2] for row in _events(page)] == ["frees page 2", "frees page 1"]
    assert page.text("#count") == "2 of 225 events"

    page.choose("#f-kind", "mm created")
    assert page.at("input[value=all]").is_selected()
    assert page.text("#count") == "1 of 225 events"


def _events(page: Page) -> list[str]:
    return [" ".join(row.text.split("\n")) for row in page.all("#events li")]


def test_text_is_found_in_words_and_fields(page: Page) -> None:
    page.press("/")
    page.driver.switch_to.active_element.send_keys("frees page")
    assert page.text("#count") == "2 of 225 events"

    page.at("#f-text").clear()
    page.at("#f-text").send_keys("no such thing")
    assert page.text("#count") == "0 of 225 events"
    page.press("0", Keys.ARROW_RIGHT, Keys.HOME)

    # A row that the filter hides is shown by lifting it.
    page.all("ol.story:not([hidden]) li.row")[0].click()
    assert page.step() == "step 23 main mm0 maps 0x10000 to page 2"
    assert page.at("#f-text").get_attribute("value") == ""


# --- the ledger -----------------------------------------------------------------------


def test_the_ledger_is_sorted_by_any_column_and_leads_to_the_free(page: Page, tmp_path: Path) -> None:
    log = tmp_path / "churn.jsonl"
    assert _guarded(["run", "churn", "--set", "ops=60", "--log", str(log), "--json"]) == 0
    page.open(_draw(log, tmp_path / "churn.html"))

    pfns = "[...document.querySelectorAll('#ledger tr[data-freed]')].map((row) => Number(row.dataset.pfn))"
    heads = page.all("#ledger th button")
    heads[0].click()
    up = page.ask(pfns)
    assert up == sorted(up)
    assert page.at("#ledger th").get_attribute("aria-sort") == "ascending"
    heads[0].click()
    assert page.ask(pfns) == sorted(page.ask(pfns), reverse=True)
    assert page.ask(pfns)[0] >= up[-1]

    page.all("#ledger tr[data-freed]")[0].click()
    assert page.text("#detail .kind").startswith("page_freed")


# --- light, dark, paper ---------------------------------------------------------------


def test_the_theme_follows_the_system_until_it_is_chosen(page: Page) -> None:
    def background() -> str:
        colour: str = page.ask("getComputedStyle(document.body).backgroundColor")
        return colour

    light = background()
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    dark = background()
    assert light != dark
    page.until(lambda: _red(page) > 1000)

    page.at("#theme").click()
    assert (page.text("#theme"), background()) == ("Theme: light", light)
    page.press("t")
    assert (page.text("#theme"), background()) == ("Theme: dark", dark)
    page.press("t")
    assert page.text("#theme") == "Theme: system"


def test_on_paper_there_is_the_drawing_and_everything_that_was_scrolled(page: Page) -> None:
    page.press("t", "t")
    assert page.text("#theme") == "Theme: dark"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.ask("dispatchEvent(new Event('beforeprint'))")

    assert page.at(".paper svg").is_displayed()
    assert page.at("#panel-violations").is_displayed()
    assert not page.at(".picture").is_displayed()
    assert not page.at("#filters").is_displayed()
    assert page.text("h1") == "freed-while-reachable"
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.ask("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()") == "#1a1e23"
    paper = base64.b64decode(page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert paper.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 3


def test_no_page_is_wider_than_the_window(page: Page) -> None:
    for width in (1440, 700, 380):
        page.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        assert page.ask("document.documentElement.scrollWidth") <= width
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# --- for everybody --------------------------------------------------------------------

PAIRS = (
    ("ink", "card"),
    ("muted", "card"),
    ("muted", "soft"),
    ("muted", "bg"),
    ("muted", "op"),
    ("bad-ink", "card"),
    ("bad-ink", "soft"),
    ("bad-ink", "bad-soft"),
    ("good", "good-soft"),
    ("unsure", "unsure-soft"),
    ("unsure", "card"),
    ("window-ink", "card"),
    ("on-bar", "host"),
    ("on-bar", "device"),
    ("on-bar", "bad"),
    ("card", "focus"),
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: Page, theme: str) -> None:
    page.ask(f"document.documentElement.dataset.theme = '{theme}'")
    style = "getComputedStyle(document.documentElement).getPropertyValue('--{}').trim()"

    weak = []
    for ink, ground in PAIRS:
        bright, dim = sorted((_luminance(page.ask(style.format(each))) for each in (ink, ground)), reverse=True)
        ratio = (bright + 0.05) / (dim + 0.05)
        if ratio < 4.5:
            weak.append((ink, ground, round(ratio, 2)))
    assert weak == []


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_whatever_can_be_used_has_a_name(page: Page) -> None:
    nameless = [
        each.get_attribute("outerHTML")
        for each in page.all("button, select, input, [role=tab], [tabindex='0']")
        if each.is_displayed() and not each.accessible_name
    ]
    assert nameless == []


def test_the_keys_are_explained_and_do_nothing_meanwhile(page: Page) -> None:
    before = page.step()
    page.press("?")
    assert page.at("#keys").is_displayed()
    page.driver.switch_to.active_element.send_keys("k")
    assert page.step() == before
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.at("#keys").is_displayed()


def test_tabs_are_changed_by_arrows(page: Page) -> None:
    page.at("#tab-story").send_keys(Keys.ARROW_LEFT)
    assert page.at("#panel-events").is_displayed()
    page.at("#tab-events").send_keys(Keys.ARROW_RIGHT)
    assert page.at("#panel-story").is_displayed()


def test_the_log_is_saved_from_the_page_as_it_was(page: Page, tmp_path: Path) -> None:
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.at("#save").click()

    saved = tmp_path / "founding-race.jsonl"
    page.until(saved.exists)
    assert saved.read_bytes() == (HOME / log_of("founding-race")).read_bytes()


# --- what can go wrong ----------------------------------------------------------------


def test_a_timeline_that_fails_does_not_hide_the_verdict(
    one_browser: Page, founding_race: Path, tmp_path: Path
) -> None:
    text = founding_race.read_text(encoding="utf-8")
    data = re.search(r'id="run">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    broken = json.loads(data[1])
    del broken["spans"]
    path = tmp_path / "broken.html"
    path.write_text(text.replace(data[1], json.dumps(broken)), encoding="utf-8")

    one_browser.driver.get(path.as_uri())
    assert one_browser.text("h1") == "freed-while-reachable"
    assert "frees page 2" in one_browser.text("#panel-story")
    assert "could not be drawn" in one_browser.text("#failed")
    assert one_browser.complaints() != []


def test_a_script_in_a_log_is_text(one_browser: Page, tmp_path: Path) -> None:
    evil = b"</script><img src=x onerror=document.title='ran'>"
    log = tmp_path / "evil.jsonl"
    log.write_bytes(log_bytes().replace(b'"main"', json.dumps(evil.decode()).encode()))
    one_browser.open(_draw(log, tmp_path / "evil.html"))

    one_browser.show("all")
    one_browser.at("#tab-events").click()
    one_browser.press(Keys.HOME)
    assert one_browser.text("#detail .head b") == evil.decode()
    assert one_browser.driver.title == "freed-while-reachable: founding-race"
    assert one_browser.complaints() == []


# --- a long run -----------------------------------------------------------------------


def test_of_a_hundred_thousand_events_only_what_is_visible_is_in_the_page(one_browser: Page, tmp_path: Path) -> None:
    log = tmp_path / "churn.jsonl"
    _guarded(["run", "churn", "--set", "ops=2000", "--seed", "3", "--log", str(log), "--json"])
    page = one_browser
    page.open(_draw(log, tmp_path / "churn.html"))
    nodes = "document.getElementsByTagName('*').length"
    total = page.ask("JSON.parse(document.getElementById('run').textContent).events.step.length")

    assert total > 100_000
    assert page.ask("performance.getEntriesByName('first-contentful-paint').length") == 1
    assert page.ask(nodes) < NODES_MAX

    page.show("all")
    page.at("#tab-events").click()
    assert page.text("#count").replace(" ", "").startswith(f"{total}of{total}")
    assert page.ask(nodes) < NODES_MAX
    page.press(Keys.END, "+", "+", Keys.ARROW_LEFT)
    assert "step" in page.text("#detail")
    page.ask("document.getElementById('panel-events').scrollTo(0, 1e6)")
    page.wait("document.querySelectorAll('#events li').length > 10")
    page.ask("document.getElementById('ledger').scrollTo(0, 5000)")
    page.wait("document.querySelectorAll('#ledger tr').length > 10")
    assert page.ask(nodes) < NODES_MAX
    assert page.complaints() == []

    # Only paper has all rows, also when a scroll is told as late as here.
    rows = "document.querySelectorAll('#ledger tr[data-freed]').length"
    page.ask("dispatchEvent(new Event('beforeprint'))")
    page.ask("document.getElementById('ledger').dispatchEvent(new Event('scroll'))")
    assert page.ask(rows) == min(int(page.text("#ledger-title .count")), 1000) > 500
    page.ask("dispatchEvent(new Event('afterprint'))")
    assert page.ask(rows) < 100
