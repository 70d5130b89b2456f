"""Everything by the keyboard alone; and everything without scripts."""

from __future__ import annotations

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open
from tests.browser.shown import GOOD, SUBJECTS
from tests.ledger.deployments import digest
from tests.ledger.world import sha

pytestmark = [pytest.mark.requires("browser"), pytest.mark.timeout(60)]
PAGES = (
    "/",
    "/board",
    "/commits",
    f"/commits/{sha(GOOD)}",
    "/clusters",
    "/targets",
    "/targets/1",
    "/workloads",
    "/images",
    f"/images/{digest(1)}",
    "/reports",
    "/search?q=shop",
)
HREFS = "links => links.map(link => link.getAttribute('href'))"


async def test_commit_is_reached_by_the_keyboard_alone(visit: Open) -> None:
    page = await visit("/")
    press = page.keyboard.press
    await press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await press("g")
    await press("b")
    await page.wait_for_url("**/board")
    await press("j")
    await press("j")
    await press("k")
    first = page.locator("[data-row]").first
    await expect(first).to_have_attribute("data-selected", "")
    await expect(first.get_by_role("link").first).to_be_focused()
    wanted = await first.get_by_role("link").first.get_attribute("href")
    await press("Enter")
    await page.wait_for_url(f"**{wanted}")

    await press("/")
    await expect(page.get_by_role("combobox", name="Find")).to_be_focused()
    await page.keyboard.type("checkout timeout")
    await expect(page.get_by_role("option", selected=True)).to_contain_text(SUBJECTS[GOOD])
    await page.keyboard.type(" of nobody")
    await expect(page.get_by_role("dialog", name="Find")).to_contain_text("Nothing is called so")
    await press("Escape")
    await expect(page.get_by_role("combobox", name="Find")).to_be_hidden()
    await press("Control+k")
    await page.keyboard.type("checkout timeout")
    await expect(page.get_by_role("option", selected=True)).to_contain_text(SUBJECTS[GOOD])
    await press("Enter")
    await page.wait_for_url(f"**/commits/{sha(GOOD)}*")


async def test_evidence_opens_and_filters_apply_by_the_keyboard(visit: Open) -> None:
    page = await visit(f"/commits/{sha(GOOD)}")
    fold = page.get_by_role("region", name="staging").locator("summary").first
    await fold.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="staging").locator("table.evidence")).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.goto("/board")
    await page.keyboard.press("f")
    await expect(page.get_by_role("textbox", name="Commit")).to_be_focused()
    await page.keyboard.type("timeout")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/board?text=timeout")
    await expect(page.locator("[data-row]")).to_have_count(1)


async def test_every_page_and_link_works_without_scripts(visit: Open) -> None:
    page = await visit("/", java_script_enabled=False)
    seen = set(PAGES)
    for path in PAGES:
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        hrefs = await page.locator("a[href^='/']:not(.theme)").evaluate_all(HREFS)
        seen |= {str(href).partition("#")[0] for href in hrefs}
    assert len(seen) > 40
    for path in sorted(seen):
        answered = await page.request.get(path, max_redirects=2)
        assert answered.status == 200, path
    await page.goto("/board")
    await page.get_by_role("combobox", name="Verdict").select_option("failed")
    await page.get_by_role("button", name="Apply").click()
    await page.wait_for_url("**/board?verdict=failed")
    await page.get_by_role("link", name="dark colours").click()
    await expect(page.locator("html[data-theme=dark]")).to_be_attached()
    assert page.url.endswith("/board?verdict=failed")
