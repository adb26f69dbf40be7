"""Chromium without a window, for the tests of the page: a browser, and the page of a log in it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER: Final = shutil.which("chromedriver")
LACKING: Final = "needs Chromium and its driver (on Debian: apt-get install chromium chromium-driver)"

_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,1000",
)
_SECONDS: Final = 30


def installed() -> bool:
    """Whether there is a browser to test with."""
    return CHROMIUM is not None and DRIVER is not None


@contextmanager
def browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser of its own, with an empty profile in the directory `profile`."""
    options = webdriver.ChromeOptions()
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """A page in a browser, with the words for what a reader does there."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, path: Path, anchor: str = "") -> None:
        """Opens the page anew, on a screen, and waits until it can be used."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
        self.driver.get("about:blank")
        self.driver.get(path.as_uri() + anchor)
        self.wait("document.documentElement.dataset.ready === 'true'")

    def wait(self, condition: str) -> None:
        """Waits until a condition in JavaScript holds."""
        self.until(lambda: bool(self.ask(condition)))

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds: a picture is painted a little later."""
        WebDriverWait(self.driver, _SECONDS, poll_frequency=0.05).until(lambda _: holds())

    def ask(self, expression: str) -> Any:
        """The value of an expression in JavaScript."""
        return self.driver.execute_script(f"return {expression};")

    def at(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        return self.at(css).text

    def press(self, *keys: str) -> None:
        """Presses keys with the timeline in focus."""
        self.at("#timeline").send_keys(*keys)

    def choose(self, css: str, option: str) -> None:
        """Chooses an option of a list by its text."""
        for each in self.at(css).find_elements(By.TAG_NAME, "option"):
            if each.text == option:
                each.click()
                return
        raise AssertionError(f"{css} has no option {option}")

    def show(self, what: str) -> None:
        """Chooses how much of the run is shown: story, told or all."""
        self.ask(f"document.querySelector('input[name=show][value={what}]').click()")

    def step(self) -> str:
        """What is told of the chosen event, in one line."""
        return " ".join(self.text(f"#detail {part}") for part in (".head .step", ".head b", ".head .words"))

    def complaints(self) -> list[str]:
        """What the browser's console had to say."""
        log: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in log]
