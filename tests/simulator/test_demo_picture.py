"""The demo's picture: facts in, text out, at the widths that matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from fluxtrail.cli.demo_picture import Event, Picture, draw
from fluxtrail.cli.demo_statuses import PullRequestStatuses, StatusBook, StatusLine

Json = dict[str, Any]

CLUSTERS = ("prod-eu", "prod-us", "staging")


def moment(seconds: int) -> Json:
    return {"at": f"2026-03-01T12:00:{seconds:02}Z", "evidence": "bracket", "precision": "exact"}


def delivery(cluster: str, name: str = "apps", verdict: str = "deployed", **more: Any) -> Json:
    stages = {"merged": moment(1), "fetched": moment(3), "applied": moment(9)} if verdict == "deployed" else {}
    base = {"cluster": cluster, "target": f"Kustomization/flux-system/{name}", "verdict": verdict, "stages": stages}
    return base | {"since": "2026-03-01T12:00:09Z", "via": None, "undone_by": None} | more


def trail(subject: str, *deliveries: Json, sha: str = "a" * 40) -> Json:
    commit = {"sha": sha, "subject": subject, "author": "Ada Marsh", "repository": "acme/shop"}
    return {"commit": commit, "deliveries": list(deliveries), "is_settled": False}


def rendered(picture: Picture, width: int, height: int = 30) -> list[str]:
    console = Console(width=width, height=height, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(draw(picture, width=width, height=height))
    return capture.get().splitlines()


BUSY = Picture(
    url="http://127.0.0.1:8080",
    seed=1,
    clusters=CLUSTERS,
    status={"changes": 50, "changes_done": 12},
    trails=(
        trail(
            "Roll the storefront forward, with a subject much longer than any column could ever show",
            delivery("prod-eu"),
            delivery("prod-us", verdict="pending", reason="waiting_for_dependency", message="dependency is not ready"),
            delivery("staging", verdict="failed", reason="BuildFailed", message="yaml: did not find\nexpected ','"),
        ),
        trail("Explain", *(delivery(cluster, verdict="unaffected") for cluster in CLUSTERS)),
    ),
    events=(Event(at="12:00:09", mark="✔", style="green", text="aaaaaaa deployed on prod-eu/apps"),),
)


def test_told_records_are_counted_where_there_are_any() -> None:
    told = Picture(url=BUSY.url, seed=1, clusters=CLUSTERS, status={"changes": 50, "records": 63})
    assert "63 deployment records told" in "\n".join(rendered(told, 80))
    assert "records" not in "\n".join(rendered(BUSY, 80))


@pytest.mark.parametrize("width", [60, 80, 140])
def test_its_last_line_says_where_the_pages_are(width: int) -> None:
    last = [line for line in rendered(BUSY, width) if line.strip()][-1]
    assert f"{BUSY.url}/" in last


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("height", [20, 24, 40])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    many = Picture(**{f: getattr(BUSY, f) for f in BUSY.__slots__} | {"trails": BUSY.trails * 30})
    lines = rendered(many, width, height)
    assert len(lines) <= height
    assert all(len(line.rstrip()) <= width for line in lines)


@pytest.mark.parametrize("width", [80, 100])
def test_it_tells_how_each_commit_stands_and_why(width: int) -> None:
    text = "\n".join(rendered(BUSY, width))
    row = next(line for line in text.splitlines() if "Roll the" in line)
    assert "✔ ●● 8s" in row
    assert "▸ ○○ queued" in row
    assert "waiting for dependency: dependency" in text
    assert "✘ ○○ failed" in row
    assert "BuildFailed: yaml: did not find expected ','" in text
    assert "12/50 changes" in text
    assert "aaaaaaa deployed on prod-eu/apps" in text


STUCK = {
    "workload": "Deployment/shop/cart",
    "state": "blocked",
    "cause": "image_pull",
    "message": "Back-off pulling image",
}


@pytest.mark.parametrize("width", [80, 100])
def test_what_is_deployed_and_does_not_run_says_why(width: int) -> None:
    stuck = delivery("prod-eu", blockers=[STUCK])
    picture = Picture(url="", seed=1, clusters=("prod-eu",), trails=(trail("Two", stuck),))
    text = "\n".join(rendered(picture, width))
    assert "◌ ●● image pull"[:12] in text
    assert "cart: image pull: Back-off pulling image" in text
    rolling = delivery("prod-eu", blockers=[STUCK | {"state": "progressing", "cause": None}])
    picture = Picture(url="", seed=1, clusters=("prod-eu",), trails=(trail("Two", rolling),))
    assert "nothing: all is where it should be" in "\n".join(rendered(picture, width))


def test_what_runs_is_the_end_of_the_lead_time() -> None:
    ran = delivery("prod-eu")
    ran["stages"]["running"] = moment(31)
    picture = Picture(url="", seed=1, clusters=("prod-eu",), trails=(trail("Two", ran),))
    assert "✔ ●●● 30s" in "\n".join(rendered(picture, 100))
    assert Event.running({"sha": "a" * 40, "subject": "Two"}, ran).plain() == (
        "12:00:31 ● aaaaaaa running on prod-eu/apps · Two"
    )


def test_what_the_doctor_did_is_told_with_its_cause() -> None:
    treatment = {
        "number": 1,
        "cluster": "staging",
        "target": "HelmRelease/platform/mailer",
        "remedy": "reset",
        "treated_at": "2026-03-01T12:00:31Z",
        "message": "Reset the count of failures: The upgrade failed and its retries are used up: Flux waits.",
    }
    assert Event.treatment(treatment).plain() == (
        "12:00:31 ✚ doctor: reset hr platform/mailer on staging · "
        "The upgrade failed and its retries are used up: Flux waits."
    )


def test_the_target_furthest_behind_stands_for_the_cluster() -> None:
    both = trail("Two", delivery("prod-eu"), delivery("prod-eu", "backend", "failed"))
    picture = Picture(url="", seed=1, clusters=("prod-eu",), trails=(both,))
    assert "✘ ○○ failed" in "\n".join(rendered(picture, 100))


def test_before_the_first_commit_it_says_what_it_waits_for() -> None:
    text = "\n".join(rendered(Picture(url="", seed=1, clusters=CLUSTERS), 100))
    assert "waiting for the first commit" in text
    assert "nothing: all is where it should be" in text


def test_a_problem_takes_the_footer() -> None:
    assert "⚠ the API is away" in rendered(BUSY.with_problem("the API is away"), 80)[-1]


def test_markup_in_a_subject_is_text() -> None:
    picture = Picture(url="", seed=1, clusters=("prod-eu",), trails=(trail("Fix [bold]x[/bold]", delivery("prod-eu")),))
    assert "Fix [bold]x[/bold]" in "\n".join(rendered(picture, 100))


def test_an_event_names_commit_target_and_carrier() -> None:
    event = Event.of(BUSY.trails[0]["commit"], delivery("prod-eu", via="b" * 40))
    assert event.plain().startswith("12:00:09 ✔ aaaaaaa deployed on prod-eu/apps via bbbbbbb · Roll")


TOLD = PullRequestStatuses(
    sha="b" * 40,
    repository="shop",
    number=104,
    subject="Pay by invoice",
    lines=(
        StatusLine("fluxtrail/production", "pending", "1/2 there; prod-us apps exported, syncing", ("pending",)),
        StatusLine("fluxtrail/staging", "success", "deployed on staging in 7s", ("pending", "success")),
    ),
)


def write(number: int, state: str, context: str = "fluxtrail/staging", sha: str = "b" * 40, **more: Any) -> Json:
    base = {"number": number, "at": "2026-03-01T12:00:09Z", "system": "github", "call": "status", "sha": sha}
    base |= {"repository": "acme/shop"}
    return base | {"context": context, "state": state, "description": "d"} | more


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("height", [20, 24, 40])
def test_pull_request_fits_the_terminal_too(width: int, height: int) -> None:
    told = replace(BUSY, trails=BUSY.trails * 30, told=TOLD)
    lines = rendered(told, width, height)
    assert len(lines) <= height
    assert all(len(line.rstrip()) <= width for line in lines)
    assert any("#104" in line for line in lines) == (height >= 24)


def test_pull_request_shows_its_statuses_and_how_they_came() -> None:
    text = "\n".join(rendered(replace(BUSY, told=TOLD), 100))
    assert "on its pull request shop#104 bbbbbbb Pay by invoice" in text
    assert "● fluxtrail/production 1/2 there" in text
    assert "●✔ fluxtrail/staging deployed on staging in 7s" in text


def test_book_shows_the_pull_request_that_was_written_of_last() -> None:
    book = StatusBook()
    assert book.shown() is None
    book.learn([{"sha": sha * 40, "subject": sha, "pull_request": number} for sha, number in (("b", 104), ("c", None))])
    changed = book.add(
        [write(1, "pending"), write(2, "pending"), write(3, "success"), write(4, "pending", "x", "c" * 40)]
    )
    assert [(commit["sha"][0], told["state"]) for commit, told in changed] == [
        ("b", "pending"),
        ("b", "success"),
        ("c", "pending"),
    ]
    assert book.last_number == 4
    shown = book.shown()
    assert shown is not None
    assert (shown.number, shown.lines[0].steps) == (104, ("pending", "success"))
    assert book.add([write(5, "pending", call="deployment"), write(6, "ok", system="slack")]) == []
    assert book.last_number == 6


def test_status_is_an_event_with_the_pull_requests_number() -> None:
    event = Event.status({"sha": "b" * 40, "pull_request": 104}, write(1, "success"))
    assert event.plain() == "12:00:09 ✔ shop#104 fluxtrail/staging: success · d"
    assert "bbbbbbb fluxtrail/staging: failure" in Event.status({"sha": "b" * 40}, write(1, "failure")).plain()
