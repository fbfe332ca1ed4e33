"""What several stories share: a browser in which somebody is signed in, and a project."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.conftest import Demo
from tests.e2e.team import Team
from tests.run import find_chromium

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_TIMEOUT_MS = 90_000


@pytest.fixture(scope="package")
def signed_in(demo: Demo) -> Iterator[BrowserContext]:
    """A browser in which the demo's user is signed in. All stories share it, as it keeps Label Studio's programs.

    Not longer: as long as it is there, nothing else in this process can run an asyncio loop.
    """
    path = find_chromium()
    assert path, "Chromium is missing: tests/run.py installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        # Animations would be drawn by the processors.
        context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
        context.set_default_timeout(PAGE_TIMEOUT_MS)
        page = context.new_page()
        page.goto(f"{demo.url}/user/login/")
        page.fill("input[name=email]", demo.state["email"])
        page.fill("input[name=password]", demo.state["password"])
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "/user/login" not in url)
        page.close()
        yield context
        browser.close()


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    """An empty page, which is closed after the story."""
    opened = signed_in.new_page()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def connected(demo: Demo) -> Team:
    """A connected project at rest. Each story leaves it so, whatever version it shows then."""
    team = Team.with_reviews(demo, 20)
    team.connect()
    return team
