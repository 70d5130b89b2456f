"""Clusters that nobody follows any more: which ones they are."""

from __future__ import annotations

import pytest
from tests.reports.standings.rooms import delivery

from fluxtrail.model.observation import told_cluster
from fluxtrail.reports.standings.retired import RetiredClusters

EU, US = ("uid-prod-eu", "prod-eu"), ("uid-prod-us", "prod-us")


@pytest.mark.parametrize(
    ("watched", "is_retired"),
    [
        ([EU, US], False),
        ([EU], True),
        ([EU, ("", "prod-us")], False),
        ([EU, ("", "another name")], False),
        ([EU, ("uid-prod-us", "another name")], False),
        ([EU, ("uid-anew", "prod-us")], True),
        ([], False),
    ],
    ids=["watched", "gone", "not reached", "none is until all were reached", "renamed", "made anew", "none is stated"],
)
def test_a_cluster_is_retired_once_the_settings_have_it_no_more(
    watched: list[tuple[str, str]], is_retired: bool
) -> None:
    assert RetiredClusters(lambda: watched).has(delivery("prod-us")) is is_retired


@pytest.mark.parametrize(
    ("told", "watched", "is_retired"),
    [(["edge"], [EU], False), ([], [EU], True), (["edge"], [EU, ("", "edge")], True), (["edge"], [], False)],
    ids=["told of", "no sender speaks of it", "watched now", "nothing is watched"],
)
def test_a_cluster_that_senders_tell_of_is_retired_with_them(
    told: list[str], watched: list[tuple[str, str]], is_retired: bool
) -> None:
    item = delivery("edge", cluster_uid=told_cluster("edge"))
    assert RetiredClusters(lambda: watched, told=told).has(item) is is_retired


def test_only_a_name_that_nobody_states_makes_one_look_closer() -> None:
    retired = RetiredClusters(lambda: [EU], told=["edge"])
    assert [retired.may_have(name) for name in ("prod-eu", "edge", "prod-us")] == [False, False, True]
    assert not RetiredClusters().may_have("prod-us")
