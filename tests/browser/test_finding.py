"""What people come for: their commit, where it is, the evidence, and an address to send to a colleague."""

from __future__ import annotations

import pytest
from playwright.async_api import expect
from tests.browser.conftest import Open, Served
from tests.browser.shown import EXPORTED, FAILED, GOOD, LATE, PROBLEM, SUBJECTS
from tests.ledger.world import sha

pytestmark = [pytest.mark.requires("browser"), pytest.mark.timeout(60)]


async def test_commit_is_found_by_its_words_and_opened(visit: Open) -> None:
    page = await visit("/")
    await page.get_by_label("Find a commit").fill("checkout timeout")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/search?q=*")
    await page.get_by_role("main").get_by_role("link", name=SUBJECTS[GOOD]).click()
    await page.wait_for_url(f"**/commits/{sha(GOOD)}*")
    await expect(page.get_by_role("heading", level=1)).to_have_text(SUBJECTS[GOOD])
    await expect(page.get_by_role("region", name="staging")).to_contain_text("shop")


async def test_commit_arrives_on_the_board_without_reloading(visit: Open, served: Served) -> None:
    page = await visit("/board")
    await expect(page.locator("#feed-state")).to_have_attribute("data-state", "on")
    await page.evaluate("window.wasHere = true")
    await expect(page.get_by_role("link", name=SUBJECTS[LATE])).to_have_count(0)
    await served.merge(LATE)
    await expect(page.get_by_role("row").nth(1)).to_contain_text(SUBJECTS[LATE])
    assert await page.evaluate("window.wasHere")


async def test_chosen_row_and_focus_stay_on_their_commit_when_another_comes_above(visit: Open, served: Served) -> None:
    page = await visit("/board")
    await expect(page.locator("#feed-state")).to_have_attribute("data-state", "on")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    chosen = page.locator("[data-row][data-selected]")
    link = chosen.get_by_role("link").first
    name = await link.inner_text()
    await served.merge(LATE)
    await expect(page.get_by_role("row").nth(1)).to_contain_text(SUBJECTS[LATE])
    await expect(chosen).to_have_count(1)
    await expect(link).to_have_text(name)
    await expect(link).to_be_focused()
    await page.keyboard.press("j")
    await expect(page.locator("[data-row]").nth(3)).to_have_attribute("data-selected", "")


async def test_what_is_shown_can_be_held_as_it_is(visit: Open, served: Served) -> None:
    page = await visit("/board")
    state = page.locator("#feed-state")
    await expect(state).to_have_attribute("data-state", "on")
    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Held", pressed=True)).to_be_visible()
    await served.merge(LATE)
    await expect(page.get_by_role("button", name="Held, 1 new")).to_be_visible()
    await expect(page.get_by_role("link", name=SUBJECTS[LATE])).to_have_count(0)
    await state.click()
    await expect(page.get_by_role("button", name="Live", pressed=False)).to_be_visible()
    await expect(page.get_by_role("row").nth(1)).to_contain_text(SUBJECTS[LATE])


async def test_filters_make_an_address_that_shows_the_same_to_others(visit: Open) -> None:
    page = await visit("/board")
    rows = page.locator("[data-row]")
    await page.get_by_label("Verdict").select_option("failed")
    await page.wait_for_url("**/board?verdict=failed")
    await expect(rows).to_have_count(1)
    await page.get_by_role("combobox", name="Cluster").select_option("staging")
    await page.wait_for_url("**cluster=staging")
    await expect(rows).to_have_count(1)
    other = await visit(page.url)
    await expect(other.locator("[data-row]")).to_have_count(1)
    assert await other.locator("[data-row] a").all_inner_texts() == await rows.locator("a").all_inner_texts()
    await expect(other.get_by_label("Verdict")).to_have_value("failed")
    await expect(other.get_by_label("Filters")).to_contain_text("staging")
    await page.go_back()
    await page.wait_for_url("**/board?verdict=failed")
    await expect(page.get_by_role("combobox", name="Cluster")).to_have_value("")


async def test_evidence_of_a_moment_opens(visit: Open) -> None:
    page = await visit(f"/commits/{sha(GOOD)}")
    staging = page.get_by_role("region", name="staging")
    await expect(staging.locator("table.evidence")).to_be_hidden()
    await staging.get_by_text("Evidence", exact=False).first.click()
    line = staging.get_by_role("row").filter(has=page.get_by_role("cell", name="applied", exact=True))
    await expect(line).to_contain_text("12:01:30")
    await expect(line).to_contain_text("exact")
    failed = await visit(f"/commits/{sha(FAILED)}")
    await expect(failed.get_by_role("main")).to_contain_text(PROBLEM)
    exported = await visit(f"/commits/{sha(EXPORTED)}")
    await expect(exported.get_by_role("main")).to_contain_text("exported")
