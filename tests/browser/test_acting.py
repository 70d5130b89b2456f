"""What operators do, what viewers may not, and what nobody can make a page do by what is written into a ledger."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import TOKENS, Open, Served
from tests.browser.shown import EXPORTED, GOOD, HOSTILE, SUBJECTS
from tests.ledger.world import sha

from fluxtrail.web.access.principals import Role

pytestmark = [pytest.mark.requires("browser"), pytest.mark.timeout(60)]


async def sign_in(page: Page, role: Role) -> None:
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.keyboard.type(TOKENS[role])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Reports")


async def test_operator_sends_a_dead_letter_again_and_a_viewer_cannot(visit: Open, served: Served) -> None:
    page = await visit("/reports?state=dead", base=served.guarded_url)
    await sign_in(page, Role.OPERATOR)
    dead = page.get_by_role("row").filter(has_text="no such channel").filter(has=page.get_by_role("checkbox"))
    await expect(dead).to_have_count(2)
    stolen = await page.locator("input[name=csrf]").first.get_attribute("value")
    number = await dead.first.get_by_role("checkbox").get_attribute("value")
    await dead.first.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Send again", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="1 report")).to_be_visible()
    await page.goto("/reports?state=waiting")
    await expect(page.locator("tr[data-row]")).to_have_count(1)

    viewer = await visit("/reports?state=dead", base=served.guarded_url)
    await sign_in(viewer, Role.VIEWER)
    await expect(viewer.get_by_role("row").filter(has_text="no such channel").last).to_be_visible()
    await expect(viewer.get_by_role("checkbox")).to_have_count(0)
    await expect(viewer.get_by_role("button", name="Send")).to_have_count(0)
    own = await viewer.locator("input[name=csrf]").first.get_attribute("value")
    assert own != stolen
    for token in (own, stolen, ""):
        headers = {"Origin": served.guarded_url}
        answer = await viewer.request.post(
            "/reports/replay", form={"csrf": token or "", "id": number or ""}, headers=headers
        )
        assert answer.status == 403, await answer.text()


async def test_sign_out_ends_the_session(visit: Open, served: Served) -> None:
    page = await visit("/reports", base=served.guarded_url)
    await sign_in(page, Role.VIEWER)
    await page.get_by_role("button", name="Sign out").click()
    await page.goto("/reports")
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_script_in_a_commit_message_is_text_everywhere(visit: Open) -> None:
    page = await visit("/board")
    for path in ("/", "/board", "/commits", "/search?q=script", f"/commits/{sha(HOSTILE)}"):
        await page.goto(path)
        await expect(page.get_by_text(SUBJECTS[HOSTILE]).first).to_be_attached()
        assert await page.title() != "owned"
        assert await page.locator("img").count() == 0
    await page.goto("/board")
    await page.keyboard.press("/")
    await page.keyboard.type("script")
    await expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("<script>")
    assert await page.title() == "Board · Fluxtrail"


async def test_link_of_an_export_or_a_run_that_is_a_script_is_text(visit: Open) -> None:
    page = await visit("/commits")
    for number, said in ((EXPORTED, "Run ·"), (GOOD, "#12")):
        await page.goto(f"/commits/{sha(number)}")
        await expect(page.get_by_role("main")).to_contain_text(said)
        assert await page.locator("a[href^='javascript' i]").count() == 0
