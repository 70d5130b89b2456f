"""Pages of one commit, cluster, target, image and report, as a browser without scripts reads them."""

from __future__ import annotations

import re

import msgspec
import pytest
from tests.model.ci import run
from tests.web.conftest import Answer, Ask
from tests.web.pages.test_pages import HTML, Read, text_of
from tests.web.runs import INDEX, PENDING, PRIVATE
from tests.web.worlds import EVERYWHERE, FAILED, ON_ITS_WAY, SHOP, TWIN_A, World, at, delivery, stages

from fluxtrail.model.ci import Approval, CiStage, CiState, PullRequest
from fluxtrail.model.report import ReportState

LISTS = ("/clusters", "/targets", "/images", "/workloads", "/reports")
PAGES = (*LISTS, f"/commits/{ON_ITS_WAY}", f"/commits/{FAILED}", f"/commits/{TWIN_A}", "/targets/3", f"/images/{INDEX}")


@pytest.mark.parametrize("path", PAGES)
async def test_page_is_whole_and_has_nothing_that_its_policy_forbids(ask: Ask, path: str) -> None:
    answer = await ask("api", path)
    assert answer.status == 200
    read = Read(answer.body.decode())
    assert (read.open, read.wrong) == ([], [])
    assert len(read.ids) == len(set(read.ids))
    assert not {name for name in read.attributes if name == "style" or name.startswith("on")}
    fragment = (await ask("api", path, headers={"HX-Request": "true"})).body.decode()
    assert 'id="live"' in fragment
    assert "<header class" not in fragment


@pytest.mark.parametrize("path", LISTS)
async def test_list_has_its_other_forms_and_refuses_what_it_does_not_know(ask: Ask, path: str) -> None:
    links = Read((await ask("api", path)).body.decode()).links
    assert (await ask("api", f"/api/v1{path}")).status == 200
    table = await ask("api", next(link for link in links if link == f"/api/v1{path}?format=csv"))
    assert table.headers["content-type"].startswith("text/csv")
    refused = await ask("api", f"{path}?colour=red", headers=HTML)
    assert (refused.status, refused.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "colour=red" in text_of(refused)


@pytest.mark.parametrize("path", PAGES)
async def test_ledger_that_cannot_be_read_is_said(ask: Ask, world: World, path: str) -> None:
    world.fails = True
    answer = await ask("api", path)
    assert answer.status == 503
    assert "Cannot answer now" in text_of(answer)


@pytest.mark.parametrize("path", ["/images", "/workloads", "/targets", "/reports"])
async def test_list_goes_on_by_its_cursor(ask: Ask, path: str) -> None:
    first = Read((await ask("api", f"{path}?limit=1")).body.decode())
    behind = next(link for link in first.links if "cursor=" in link)
    second = await ask("api", behind)
    assert "not from the beginning" in text_of(second)
    wrong = await ask("api", f"{path}?cursor=wrong", headers=HTML)
    assert wrong.status == 400


async def test_heads_sort_by_what_there_is_most_of_and_back(ask: Ask, world: World) -> None:
    plain = Read((await ask("api", "/targets?cluster=prod-eu")).body.decode())
    assert "/targets?cluster=prod-eu&sort=failed" in plain.links
    answer = await ask("api", "/targets?cluster=prod-eu&sort=failed")
    assert answer.body.decode().count('aria-sort="descending"') == 1
    assert "/targets?cluster=prod-eu" in Read(answer.body.decode()).links
    assert text_of(answer).index("infra") < text_of(answer).index("apps")
    assert "sort=failed" in next(
        link for link in Read(answer.body.decode()).links if link.startswith("/api/v1/targets")
    )
    listed = (await ask("api", "/api/v1/targets?cluster=prod-eu&sort=failed")).json["items"]
    assert [item["failed"] for item in listed] == [1, 0]
    assert (await ask("api", "/targets?sort=size", headers=HTML)).status == 400


async def test_clusters_are_found_by_a_part_of_their_name_and_come_in_pages(ask: Ask) -> None:
    found = await ask("api", "/clusters?text=PROD")
    assert "2 clusters" in text_of(found)
    assert "staging" not in text_of(found)
    assert "No cluster is like that" in text_of(await ask("api", "/clusters?text=nowhere"))
    first = Read((await ask("api", "/clusters?limit=2")).body.decode())
    second = await ask("api", next(link for link in first.links if "cursor=" in link))
    assert "1 cluster, not from the beginning" in text_of(second)
    assert (await ask("api", "/clusters?cursor=wrong", headers=HTML)).status == 400
    names, cursor = [], ""
    while True:
        page = (await ask("api", f"/api/v1/clusters?sort=failed&limit=1{cursor}")).json
        names += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(names) == ["prod-eu", "prod-us", "staging"]
    assert len(names) == 3


# a commit


async def test_commit_tells_what_was_said_of_it_and_to_whom(ask: Ask, world: World) -> None:
    world.reports = [msgspec.structs.replace(report, sha=FAILED) for report in world.reports[:3]]
    text = text_of(await ask("api", f"/commits/{FAILED}"))
    assert "Told" in text
    assert re.search(r"waiting\s+route.pull-requests", text)
    assert re.search(r"dead\s+route.pull-requests\s+2 reports", text)
    listed = await ask("api", f"/reports?sha={FAILED}")
    assert "3 reports" in text_of(listed)
    assert "Told" not in text_of(await ask("api", f"/commits/{ON_ITS_WAY}"))
    assert "No report is like that" in text_of(await ask("api", f"/reports?sha={'f' * 40}"))
    assert (await ask("api", "/reports?sha=abc", headers=HTML)).status == 400


async def test_commit_tells_what_it_waits_for_and_what_to_run(ask: Ask) -> None:
    answer = await ask("api", f"/commits/{ON_ITS_WAY[:8]}")
    text = text_of(answer)
    assert "Raise the checkout timeout to 30 seconds (#12)" in text
    assert "Live on 1 of 3 targets, 2 on their way" in text
    assert "The target is suspended." in text
    assert "flux resume kustomization apps -n flux-system" in text
    assert f"fluxtrail trace {ON_ITS_WAY[:8]} --cluster prod-us --target apps --watch" in text
    assert "Running health checks for revision" in text
    assert "estimated: between 2026-11-20 10:01:33 UTC and 2026-11-20 10:02:13 UTC" in text
    assert "artifact last update time" in text
    read = Read(answer.body.decode())
    assert {"prod-eu", "prod-us", "staging"} <= set(read.ids)
    assert f'data-live-filter="commit={ON_ITS_WAY}"' in answer.body.decode()
    assert "https://ci.acme.dev/builds/4711" in read.links


async def test_commit_says_on_top_what_holds_it_up_and_where(ask: Ask) -> None:
    answer = await ask("api", f"/commits/{FAILED}")
    top = text_of(answer).partition("On each target")[0]
    assert "Flux gave up with BuildFailed." in top
    assert "kustomize build failed" in top
    assert any("verdict=failed" in link and "cluster=" in link for link in Read(answer.body.decode()).links)


async def test_commit_tells_who_built_reviewed_and_merged_it(ask: Ask, world: World) -> None:
    trail = world.trails[ON_ITS_WAY]
    jobs = (CiStage(name="test", state=CiState.SUCCEEDED, started_at=at(4), finished_at=at(30)),)
    built = run(
        stages=jobs, number="#812", url="https://github.com/acme/shop/actions/runs/7", digest=INDEX, image="cart:v1"
    )
    pull = PullRequest(
        repository=SHOP, number=12, title="Raise it", author="jane", url="https://github.com/acme/shop/pull/12",
        state="merged", merged_by="mara", merged_at=at(0),
        approvals=(Approval(by="li", state="changes_requested"), Approval(by="li", state="approved")),
    )  # fmt: skip
    world.trails[ON_ITS_WAY] = msgspec.structs.replace(trail, ci_runs=[built], pull_request=pull)
    answer = await ask("api", f"/commits/{ON_ITS_WAY}")
    text, links = text_of(answer), Read(answer.body.decode()).links
    for said in ("build #812", "test", "26s", "li approved", "by mara", "cart:v1", "3 containers"):
        assert said in text
    assert "wants changes" not in text
    assert "https://github.com/acme/shop/pull/12" in links
    assert f"/images/{INDEX.replace(':', '%3A')}" in links


async def test_failed_build_is_said_above_everything(ask: Ask, world: World) -> None:
    trail = world.trails[TWIN_A]
    world.trails[TWIN_A] = msgspec.structs.replace(trail, ci_runs=[run(state=CiState.FAILED)])
    assert "build failed, and nothing has succeeded since" in text_of(await ask("api", f"/commits/{TWIN_A}"))


async def test_commit_that_is_nowhere_says_so(ask: Ask) -> None:
    text = text_of(await ask("api", f"/commits/{TWIN_A}"))
    assert "On no target yet" in text
    assert "Not on any target yet" in text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/commits/0000000", 404, "nothing known is"),
        ("/commits/xyz", 400, "4 to 64 hexadecimal digits"),
        ("/commits/c0ffee", 409, "Twin two"),
        (f"/commits/{ON_ITS_WAY}?cursor=-1", 400, "cursor=-1"),
        (f"/commits/{ON_ITS_WAY}?verdict=best", 400, "verdict=best"),
        ("/targets/99", 404, "no target has the id 99"),
        ("/images/ffff", 404, "no image that runs"),
        ("/images/cart", 400, "names are found by"),
        ("/workloads?state=lazy", 400, "use one of"),
        ("/reports?route=chat&sink=otlp.traces", 400, "both say whose reports"),
    ],
)
async def test_what_is_wrong_is_said_on_a_page(ask: Ask, path: str, status: int, said: str) -> None:
    answer = await ask("api", path, headers=HTML)
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert said.lower() in text_of(answer).replace("&#39;", "'").lower()


async def test_commit_on_a_thousand_targets_stays_readable(ask: Ask, world: World) -> None:
    trail = world.trails[EVERYWHERE]
    base = delivery(EVERYWHERE, "prod-eu", "deployed", stages=stages(0, ("fetched", 20), ("applied", 90)))
    many = [
        msgspec.structs.replace(
            base, cluster=f"edge-{n % 25:02}", cluster_uid=f"u{n % 25}", target_id=n + 1,
            target=f"Kustomization/shop/team-{n:04}", verdict="failed" if n == 777 else "deployed",
        )
        for n in range(1000)
    ]  # fmt: skip
    world.trails[EVERYWHERE] = msgspec.structs.replace(trail, deliveries=many)
    answer = await ask("api", f"/commits/{EVERYWHERE}")
    assert len(answer.body) < 300_000
    text = text_of(answer)
    assert text.index("team-0777") < text.index("team-0000")
    assert "1 failed" in text
    read = Read(answer.body.decode())
    only = await ask("api", f"/commits/{EVERYWHERE}?cluster=edge-02")
    assert f"/commits/{EVERYWHERE}?cluster=edge-02" in read.links
    assert text_of(only).count("Evidence") == 40
    assert "not from the beginning" not in text_of(only)
    behind = next(link for link in read.links if "cursor=20" in link)
    assert "edge-24" in text_of(await ask("api", behind))


async def test_what_others_write_is_text(ask: Ask, world: World) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    trail = world.trails[FAILED]
    job = CiStage(name=evil, state=CiState.FAILED, url="javascript:alert(3)")
    pull = PullRequest(repository=SHOP, number=1, title=evil, author=evil, url="javascript:alert(4)", merged_by=evil)
    world.trails[FAILED] = msgspec.structs.replace(
        trail,
        commit=msgspec.structs.replace(trail.commit, subject=evil, author=evil, web_url="javascript:alert(5)"),
        ci_runs=[run(pipeline=evil, url="javascript:alert(6)", stages=(job,), image=evil, event=evil)],
        pull_request=pull,
        deliveries=[msgspec.structs.replace(one, message=evil, reason=evil, cluster=evil) for one in trail.deliveries],
    )
    world.targets = [msgspec.structs.replace(one, message=evil, reason=evil, path=evil) for one in world.targets]
    world.reports = [msgspec.structs.replace(one, answer=evil, key=evil) for one in world.reports]
    world.workloads = [msgspec.structs.replace(one, message=evil, pod=evil) for one in world.workloads]
    for path in (f"/commits/{FAILED}", "/targets", "/targets/3", "/reports", "/workloads"):
        answer = await ask("api", path)
        assert b"<script>alert" not in answer.body
        assert b"<img" not in answer.body
        read = Read(answer.body.decode())
        assert not {name for name in read.attributes if name.startswith("on")}
        assert not [link for link in read.links if link.startswith("javascript")]


# clusters, targets, images, workloads


async def test_cluster_that_nothing_is_heard_of_is_marked(ask: Ask, world: World) -> None:
    text = text_of(await ask("api", "/clusters"))
    assert "silent" not in text
    assert "1 kind, all current" in text
    world.cluster_ages = {"prod-us": 900.0}
    text = text_of(await ask("api", "/clusters"))
    assert "Nothing heard of prod-us" in text
    assert text.index("prod-us") < text.index("prod-eu")
    assert "Nothing heard of prod-us" in text_of(await ask("api", "/targets"))
    assert "Nothing heard of prod-us" in text_of(await ask("api", "/targets/2"))


async def test_target_tells_how_it_is_and_its_history(ask: Ask) -> None:
    answer = await ask("api", "/targets/3")
    text = text_of(answer)
    for said in ("checking health", "1 on their way", "GitRepository/flux-system/manifests", "Flux itself keeps five"):
        assert said in text
    assert "flux reconcile kustomization apps -n flux-system --with-source" in text
    assert f"/commits/{ON_ITS_WAY}" in Read(answer.body.decode()).links
    assert "flux resume kustomization apps" in text_of(await ask("api", "/targets/2"))


async def test_image_tells_what_it_was_built_from_and_where_it_runs(ask: Ask) -> None:
    answer = await ask("api", "/images/1d1d")
    text, links = text_of(answer), Read(answer.body.decode()).links
    assert "index of platforms" in text
    assert f"/commits/{EVERYWHERE}" in links
    assert "linux/arm64" in text
    assert "ended" in text
    assert "wants a login" in text_of(await ask("api", f"/images/{PRIVATE}"))
    assert "unknown" in text_of(await ask("api", f"/images/{PENDING}"))


async def test_images_of_a_commit_are_on_its_page_and_in_a_list_of_their_own(ask: Ask) -> None:
    answer = await ask("api", f"/commits/{EVERYWHERE}")
    assert f"/images/{INDEX.replace(':', '%3A')}" in Read(answer.body.decode()).links
    text = text_of(await ask("api", f"/images?revision={EVERYWHERE}"))
    assert ("ghcr.io/acme/cart" in text, "payments" in text) == (True, False)
    assert (await ask("api", "/images?revision=main", headers=HTML)).status == 400


async def test_state_of_an_image_is_said_in_the_same_words_in_the_list_the_form_and_the_filter(ask: Ask) -> None:
    text = text_of(await ask("api", "/images?state=unasked"))
    assert text.count("not looked up") >= 2
    assert "unasked" not in text


async def test_places_that_are_named_lead_there(ask: Ask) -> None:
    for path in ("/targets", "/workloads", "/images/1d1d"):
        assert "/targets?cluster=prod-eu" in Read((await ask("api", path)).body.decode()).links
    links = Read((await ask("api", f"/commits/{ON_ITS_WAY}")).body.decode()).links
    assert any(link.startswith("/board?repository=") for link in links)
    assert any(link.startswith("/board?author=") for link in links)


async def test_beginning_of_several_digests_leads_to_their_list(ask: Ask, world: World) -> None:
    world.images["sha256:1d1d" + "0" * 60] = world.images[PRIVATE]
    answer = await ask("api", "/images/1d1d", allow_redirects=False)
    assert (answer.status, answer.headers["location"]) == (303, "/images?text=sha256%3A1d1d")


async def test_workloads_say_why_they_do_not_run(ask: Ask) -> None:
    text = text_of(await ask("api", "/workloads?state=blocked"))
    assert "image pull" in text
    assert "Back-off pulling image" in text
    assert "migrate" not in text


async def test_lists_without_anything_say_so(ask: Ask, world: World) -> None:
    world.workloads, world.images, world.reports = [], {}, []
    assert "No workload yet" in text_of(await ask("api", "/workloads"))
    assert "No image yet" in text_of(await ask("api", "/images"))
    assert "Nothing to tell yet" in text_of(await ask("api", "/reports"))
    assert "No target is like that" in text_of(await ask("api", "/targets?cluster=nowhere"))
    assert "No report is like that" in text_of(await ask("api", "/reports?state=dead"))


# reports


async def form_of(ask: Ask, path: str = "/reports") -> tuple[str, dict[str, str]]:
    """The token of the page's forms, and the cookie that goes with it."""
    answer = await ask("api", path)
    found = re.search(r'name="csrf" value="([^"]+)"', answer.body.decode())
    assert found is not None
    return found[1], {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def post(ask: Ask, path: str, headers: dict[str, str], **fields: str | list[str]) -> Answer:
    return await ask("api", path, "POST", data=list(_pairs(fields)), headers=headers, allow_redirects=False)


def _pairs(fields: dict[str, str | list[str]]) -> list[tuple[str, str]]:
    return [(name, one) for name, value in fields.items() for one in ([value] if isinstance(value, str) else value)]


def states(world: World) -> dict[int, str]:
    return {report.id: report.state.value for report in world.reports}


async def test_reports_tell_the_routes_troubles_and_budgets(ask: Ask) -> None:
    text = text_of(await ask("api", "/reports"))
    assert "pull-requests: github.com answers 401: Bad credentials" in text
    assert "71" in text
    assert "2 dead letters" in text


async def test_dead_letters_are_sent_again_and_dropped_by_forms(ask: Ask, world: World) -> None:
    token, cookie = await form_of(ask)
    answer = await post(ask, "/reports/replay", cookie, csrf=token, id=["5", "4"])
    assert (answer.status, answer.headers["location"]) == (303, "/reports?done=replayed&changed=2")
    assert (states(world)[4], states(world)[5]) == ("waiting", "waiting")
    assert "2 reports will be sent again." in text_of(await ask("api", answer.headers["location"]))
    answer = await post(ask, "/reports/drop", cookie, csrf=token, id="5")
    assert states(world)[5] == "dropped"
    said = await ask("api", answer.headers["location"])
    assert "1 report will never be sent." in text_of(said)
    assert not [link for link in Read(said.body.decode()).links if "/api/v1/reports" in link and "done" in link]


@pytest.mark.parametrize("fields", [{"all_dead": "true"}, {"sink": "route.pull-requests"}, {"route": "pull-requests"}])
async def test_all_of_a_route_are_sent_again(ask: Ask, world: World, fields: dict[str, str]) -> None:
    token, cookie = await form_of(ask)
    await post(ask, "/reports/replay", cookie, csrf=token, **fields)
    assert ReportState.DEAD not in {report.state for report in world.reports}


async def test_route_is_tested_and_its_answer_shown(ask: Ask, world: World) -> None:
    token, cookie = await form_of(ask)
    answer = await post(ask, "/reports/test", cookie, csrf=token, route="chat")
    assert "took the test message of chat: 200 ok" in text_of(answer)
    assert world.tested == ["chat"]
    assert "data-live-after" not in answer.body.decode()  # its address cannot be asked again
    assert "refused the test message" in text_of(
        await post(ask, "/reports/test", cookie, csrf=token, route="pull-requests")
    )
    assert (await post(ask, "/reports/test", cookie, csrf=token, route="none")).status == 404
    world.refuses_test = True
    assert (await post(ask, "/reports/test", cookie, csrf=token, route="chat")).status == 409


@pytest.mark.parametrize("path", ["/reports/replay", "/reports/drop", "/reports/test"])
async def test_form_of_another_page_changes_nothing(ask: Ask, world: World, path: str) -> None:
    token, cookie = await form_of(ask)
    before = states(world)
    refused = [
        await post(ask, path, {}, id="5", route="chat"),
        await post(ask, path, cookie, id="5", route="chat"),
        await post(ask, path, {}, csrf=token, id="5", route="chat"),
        await post(ask, path, cookie, csrf="A" * 43, id="5", route="chat"),
        await post(ask, path, {**cookie, "Sec-Fetch-Site": "cross-site"}, csrf=token, id="5", route="chat"),
    ]
    assert [answer.status for answer in refused] == [403] * 5
    assert (states(world), world.tested) == (before, [])


@pytest.mark.parametrize(
    "fields", [{}, {"id": "x"}, {"id": "0"}, {"id": "9" * 30}, {"id": "5", "all_dead": "true"}, {"id": ["1"] * 1001}]
)
async def test_form_that_does_not_say_which_is_refused(
    ask: Ask, world: World, fields: dict[str, str | list[str]]
) -> None:
    token, cookie = await form_of(ask)
    before = states(world)
    assert (await post(ask, "/reports/replay", cookie, csrf=token, **fields)).status == 400
    assert states(world) == before
