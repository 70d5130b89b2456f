"""What is shown while somebody points at it, or holds it: the badge says how it is."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import Open, Served
from tests.browser.shown import LATE

pytestmark = [pytest.mark.requires("browser"), pytest.mark.timeout(60)]

_NOTE_REFRESH = """() => {
    const later = window.setTimeout;
    window.setTimeout = (what, ...rest) => {
      if (what?.name === "refresh") document.body.dataset.asked = "yes";
      return later(what, ...rest);
    };
}"""


async def _open(visit: Open) -> Page:
    """Return the board, whose clock goes on only when it is told to."""
    page = await visit("/board")
    await expect(page.locator("#feed-state")).to_have_attribute("data-state", "on")
    await page.clock.install()
    await page.clock.pause_at(await page.evaluate("Date.now()") + 10_000)
    await page.evaluate(_NOTE_REFRESH)
    return page


async def _is_told(page: Page) -> None:
    """Wait until the page knows of something that it is to show."""
    await expect(page.locator("body")).to_have_attribute("data-asked", "yes")


async def test_what_happens_is_shown_however_long_somebody_points_at_it(visit: Open, served: Served) -> None:
    page = await _open(visit)
    place = await page.locator("#live").bounding_box()
    assert place is not None
    await page.mouse.move(place["x"] + 20, place["y"] + 20)
    await served.merge(LATE)
    await _is_told(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    shown_after = 0
    for second in range(1, 21):
        await page.mouse.move(place["x"] + 20 + second, place["y"] + 20)
        await page.clock.run_for(1000)
        if any(url.endswith("/board") for url in asked):
            shown_after = second
            break
    assert 9 <= shown_after <= 13


async def test_what_came_just_before_it_was_held_is_counted(visit: Open, served: Served) -> None:
    page = await _open(visit)
    await served.merge(LATE)
    await _is_told(page)
    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Held", exact=True)).to_be_visible()
    await page.clock.run_for(2000)
    await expect(page.get_by_role("button", name="Held, 1 new")).to_be_visible()
