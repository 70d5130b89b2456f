"""axe-core finds nothing serious on any page, in any of its looks; and no page is wider than its window."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import Open, Served
from tests.browser.shown import FAILED
from tests.browser.test_keyboard import PAGES
from tests.ledger.world import sha

pytestmark = [pytest.mark.requires("browser"), pytest.mark.timeout(120)]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
"""The only rules whose findings can differ between light and dark."""
RUN = "([type, values]) => axe.run({resultTypes: ['violations'], runOnly: {type, values}}).then(run => run.violations)"
IS_TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"
SERIOUS = {"serious", "critical"}


async def look(page: Page, axe: str, *, rules: list[str] | None = None) -> list[str]:
    """Return what axe finds: serious ones, at most three places of each."""
    await page.evaluate(axe)
    found: list[dict[str, Any]] = await page.evaluate(RUN, ["rule", rules] if rules else ["tag", TAGS])
    serious = [rule for rule in found if rule["impact"] in SERIOUS]
    return [f"{rule['id']}: {node['html'][:200]} {node['any'][:1]}" for rule in serious for node in rule["nodes"][:3]]


@pytest.mark.parametrize("width", [1440, 390])
async def test_nothing_serious_on_any_page(visit: Open, axe: str, served: Served, width: int) -> None:
    page = await visit("/", reduced_motion="reduce", viewport={"width": width, "height": 900}, may_miss="/nowhere")
    wrong = {}
    for path in (*PAGES, f"/commits/{sha(FAILED)}", "/board?verdict=lost", f"{served.guarded_url}/login", "/nowhere"):
        await page.emulate_media(color_scheme="light")
        await page.goto(path)
        found = await look(page, axe)
        found += ["wider than its window"] if await page.evaluate(IS_TOO_WIDE) else []
        await page.emulate_media(color_scheme="dark")
        found += [f"dark: {line}" for line in await look(page, axe, rules=COLOURS)]
        if found:
            wrong[path] = found
    assert wrong == {}
    await page.goto("/board")
    verdict = page.get_by_label("Verdict")
    if width < 500:
        await expect(verdict).to_be_hidden()
        await page.get_by_text("Filters", exact=True).focus()
        await page.keyboard.press("Enter")
    await expect(verdict).to_be_visible()


@pytest.mark.parametrize("width", [320, 780, 1024, 1200])
async def test_no_page_is_wider_than_its_window(visit: Open, width: int) -> None:
    """Where a table does not fit, it is moved within its card, and the page stays where it is."""
    page = await visit("/", viewport={"width": width, "height": 900})
    wide = []
    for path in PAGES:
        await page.goto(path)
        wide += [path] if await page.evaluate(IS_TOO_WIDE) else []
    assert wide == []


async def test_axe_would_say_so(visit: Open, axe: str) -> None:
    """A page that is bad is found to be: without it, the test above might look at nothing."""
    page = await visit("/commits")
    await page.evaluate("document.querySelector('main h1').innerHTML = '<button></button>'")
    await page.evaluate("document.querySelector('.lead').style.color = 'color-mix(in srgb, canvas, canvastext 15%)'")
    found = await look(page, axe)
    assert {line.partition(":")[0] for line in found} >= {"button-name", "color-contrast"}
