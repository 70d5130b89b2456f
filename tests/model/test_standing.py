"""What an environment's deliveries come to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.standings.rooms import GROUPING, delivery, deployed, failed, trail
from tests.reports.worlds import at, moment

from fluxtrail.model.standing import Judging, Standing, nothing_here, standings, turns_at
from fluxtrail.model.status import StatusState
from fluxtrail.model.views import BlockerView, DeliveryView
from fluxtrail.reports.standings.words import summary, values_of

NOW = at(100)


def stand(*deliveries: DeliveryView, **judging: Any) -> list[Standing]:
    return standings(trail(*deliveries), GROUPING.environment_of, judging=Judging(**judging), now=NOW)


def states(*deliveries: DeliveryView, **judging: Any) -> dict[str, str]:
    return {one.environment: one.state.value for one in stand(*deliveries, **judging)}


RUNNING = {"merged": moment(0), "applied": moment(50), "running": moment(70)}


@pytest.mark.parametrize(
    ("deliveries", "state"),
    [
        ([delivery(reason="awaiting_fetch")], "pending"),
        ([delivery(reason="suspended")], "pending"),
        ([delivery(reason="syncing")], "running"),
        ([delivery(reason="waiting_for_dependency")], "running"),
        ([delivery(stages={"merged": moment(0), "applied": moment(9)})], "running"),
        ([deployed()], "success"),
        ([failed()], "failure"),
        ([delivery(verdict="rolled_back")], "error"),
        ([delivery(verdict="lost")], "error"),
        ([delivery(verdict="abandoned")], "error"),
        ([delivery(verdict="unaffected")], "neutral"),
        ([deployed(), delivery("prod-us")], "pending"),
        ([deployed(), failed("prod-us")], "failure"),
        ([delivery(), failed("prod-us")], "failure"),
        ([delivery(), delivery("prod-us", "rolled_back")], "pending"),
        ([deployed(), delivery("prod-us", "rolled_back")], "error"),
        ([deployed(), delivery("prod-us", "abandoned")], "success"),
        ([deployed(), delivery("prod-us", "lost")], "success"),
        ([deployed(), delivery("prod-us", "unaffected")], "success"),
        ([delivery(verdict="unaffected"), delivery("prod-us", "unaffected")], "neutral"),
        ([deployed(running="waiting")], "success"),
    ],
)
def test_what_targets_come_to(deliveries: list[DeliveryView], state: str) -> None:
    assert states(*deliveries) == {"production": state}


@pytest.mark.parametrize(
    ("word", "state"),
    [("unread", "running"), ("waiting", "running"), ("reached", "success"), ("absent", "success"),
     ("unknown", "success"), ("", "success")],
)  # fmt: skip
def test_running_counts_where_it_is_waited_for(word: str, state: str) -> None:
    assert states(deployed(running=word), until_running=True) == {"production": state}


def test_a_young_failure_is_still_on_its_way() -> None:
    wait = timedelta(seconds=60)
    assert states(failed(since=41), fail_after=wait) == {"production": "running"}
    assert states(failed(since=40), fail_after=wait) == {"production": "failure"}


def test_each_environment_stands_by_itself() -> None:
    found = states(deployed(), failed("staging"), delivery("edge-1"))
    assert found == {"production": "success", "staging": "failure", "edge-1": "pending"}


def test_what_was_there_before_we_looked_is_no_news() -> None:
    assert stand(deployed(is_before_baseline=True)) == []
    assert states(deployed(is_before_baseline=True), delivery("prod-us")) == {"production": "pending"}


def test_targets_that_do_not_count_are_left_out() -> None:
    both = trail(deployed(), failed(target="Kustomization/flux-system/infra"))
    [found] = standings(
        both, GROUPING.environment_of, judging=Judging(), now=NOW, admits_target=lambda name: name.endswith("apps")
    )
    assert (found.state, found.targets) == (StatusState.SUCCESS, ["Kustomization/flux-system/apps"])


def test_who_is_furthest_behind_speaks() -> None:
    fetched = {"merged": moment(0), "fetched": moment(5)}
    [found] = stand(delivery("prod-eu", stages=fetched), delivery("prod-us"), deployed("prod-asia"))
    assert found.speaker is not None
    assert (found.speaker.cluster, found.stage, found.done, len(found.deliveries)) == ("prod-us", "merged", 1, 3)


def test_who_came_last_speaks_of_success() -> None:
    [found] = stand(deployed("prod-eu", at=90), deployed("prod-us", at=40))
    assert found.speaker is not None
    assert (found.speaker.cluster, found.stage, found.lead_seconds) == ("prod-eu", "healthy", 90.0)


def test_lead_time_is_not_guessed() -> None:
    [found] = stand(deployed("prod-eu"), delivery("prod-us", "deployed", stages={"applied": moment(9)}))
    assert (found.state, found.lead_seconds) == (StatusState.SUCCESS, None)


def test_an_environment_without_targets_is_neutral() -> None:
    found = nothing_here(trail(), "production")
    assert (found.environment, found.state, found.speaker) == ("production", StatusState.NEUTRAL, None)


def stuck(cause: str = "crash_loop", since: float = 60.0, state: str = "blocked", **given: Any) -> DeliveryView:
    blocker = BlockerView(
        workload="Deployment/shop/web", state=state, cause=cause, message="back-off restarting web", since=at(since)
    )
    return deployed(running="waiting", blockers=[blocker], **given)


FIVE_MINUTES = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("item", "state"),
    [
        (stuck(since=100 - 300), "failure"),
        (stuck(since=101 - 300), "running"),
        (stuck("image_pull", since=100 - 300), "failure"),
        (stuck("unschedulable", since=101 - 300), "running"),
        (stuck("deadline", since=100), "failure"),
        (stuck("job_failed", since=100, state="failed"), "failure"),
        (stuck("paused", since=-9000), "running"),
        (stuck("manual", since=-9000), "running"),
        (stuck(since=-9000, state="progressing"), "running"),
    ],
)
def test_what_does_not_get_on_where_it_must_run_fails_in_the_end(item: DeliveryView, state: str) -> None:
    assert states(item, until_running=True) == {"production": state}
    assert states(item) == {"production": "success"}


def test_a_route_says_how_long_it_waits_with_what_is_stuck() -> None:
    one = {"until_running": True, "fail_after": timedelta(seconds=40)}
    assert states(stuck(since=60), **one) == {"production": "failure"}
    assert states(stuck(since=61), **one) == {"production": "running"}
    assert states(stuck("deadline", since=61), **one) == {"production": "running"}


def test_what_is_stuck_says_what_does_not_run_and_why() -> None:
    [found] = stand(stuck(since=-900), deployed("prod-us", running="reached"), until_running=True)
    assert found.verdict == "failed"
    assert summary(found) == "prod-eu apps shop/web: crash loop: back-off restarting web"
    values = values_of(found, public_url="")
    assert (values["verdict"], values["reason"]) == ("failed", "crash_loop")
    [found] = stand(deployed(running="reached"), until_running=True)
    assert (found.state, found.stuck) == (StatusState.SUCCESS, None)


def test_time_alone_makes_a_failure_of_what_is_stuck() -> None:
    judging = Judging(until_running=True)
    assert turns_at(stuck(since=60), judging, NOW) == at(60) + FIVE_MINUTES
    assert turns_at(stuck(since=-900), judging, NOW) is None
    assert turns_at(stuck("paused", since=60), judging, NOW) is None
    assert turns_at(stuck(since=60), Judging(), NOW) is None
    assert turns_at(failed(since=400), Judging(), NOW) is None
    assert turns_at(failed(since=60), Judging(fail_after=FIVE_MINUTES), NOW) == at(360)


@pytest.mark.parametrize("verdict", ["pending", "failed", "lost", "abandoned", "rolled_back"])
def test_what_did_not_reach_a_retired_cluster_is_nobodys_fault(verdict: str) -> None:
    [found] = stand(delivery("prod-old", verdict), is_retired=lambda item: item.cluster == "prod-old")
    assert (found.state, found.is_retired) == (StatusState.NEUTRAL, True)
    assert summary(found) == "not delivered: cluster prod-old is retired"


@pytest.mark.parametrize(
    ("other", "state"), [("pending", "pending"), ("failed", "failure"), ("deployed", "success"), ("lost", "error")]
)
def test_a_retired_cluster_does_not_count_beside_others(other: str, state: str) -> None:
    [found] = stand(
        delivery("prod-old"), delivery("prod-eu", other), is_retired=lambda item: item.cluster == "prod-old"
    )
    assert (found.state.value, found.clusters, found.is_retired) == (state, ["prod-eu"], False)


def test_what_reached_a_cluster_before_it_was_retired_stays_well() -> None:
    assert states(deployed("prod-old"), is_retired=lambda _: True) == {"production": "success"}


def test_what_does_not_concern_a_retired_cluster_is_told_as_ever() -> None:
    [found] = stand(delivery("prod-old", "unaffected"), is_retired=lambda _: True)
    assert (found.state, found.is_retired) == (StatusState.NEUTRAL, False)


VERDICTS = ["pending", "deployed", "unaffected", "failed", "rolled_back", "lost", "abandoned"]
SOME = st.lists(
    st.builds(delivery, st.sampled_from(["prod-eu", "prod-us", "staging", "edge"]), st.sampled_from(VERDICTS)),
    max_size=6,
)


@given(SOME, st.randoms(use_true_random=False))
def test_the_order_of_targets_changes_nothing(deliveries: list[DeliveryView], random: Any) -> None:
    shuffled = random.sample(deliveries, len(deliveries))
    assert states(*deliveries) == states(*shuffled)


@given(SOME)
def test_success_means_that_nothing_is_left_to_do(deliveries: list[DeliveryView]) -> None:
    for found in stand(*deliveries):
        mine = {item.verdict for item in deliveries if GROUPING.environment_of(item.cluster, "") == found.environment}
        if found.state is StatusState.SUCCESS:
            assert "deployed" in mine
            assert mine.isdisjoint({"pending", "failed", "rolled_back"})
        if found.state is StatusState.NEUTRAL:
            assert mine == {"unaffected"}
