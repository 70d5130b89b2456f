"""Where a commit waits for an export of its own, by how the commits before it were exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.exporting import places_apart

STAGING, PROD, EDGE = "staging", "prod", "edge"


@pytest.mark.parametrize(
    ("reached", "earlier", "apart"),
    [
        pytest.param({STAGING}, [], set(), id="the first of all"),
        pytest.param({STAGING}, [{1: {STAGING, PROD}}], set(), id="one export for all, which left it out"),
        pytest.param({STAGING}, [{1: {STAGING}, 2: {PROD}}], {PROD}, id="an export for each"),
        pytest.param({STAGING, PROD}, [{1: {STAGING}, 2: {PROD}}], set(), id="each has come"),
        pytest.param({STAGING}, [{1: {STAGING}}, {1: {STAGING}, 2: {PROD}}], {PROD}, id="the last waits itself"),
        pytest.param({STAGING}, [{1: {PROD}}], set(), id="none came to both"),
        pytest.param({STAGING}, [{1: {PROD}}, {1: {STAGING}, 2: {PROD}}], {PROD}, id="the last came elsewhere"),
        pytest.param(
            {STAGING},
            [{1: {STAGING, PROD}}, {1: {STAGING}, 2: {PROD}}],
            set(),
            id="exported to all at once since",
        ),
        pytest.param(
            {STAGING},
            [{1: {STAGING}, 2: {PROD}}, {1: {STAGING, PROD}}],
            {PROD},
            id="exported to each since",
        ),
        pytest.param({STAGING}, [{1: {STAGING, PROD}, 2: {PROD}}], set(), id="exported once more, to some"),
        pytest.param({STAGING}, [{1: {STAGING}, 2: {PROD, EDGE}}], {PROD, EDGE}, id="two share one"),
        pytest.param({PROD}, [{1: {STAGING}, 2: {PROD, EDGE}}], {STAGING}, id="that one left a part out"),
        pytest.param(set(), [{1: {STAGING}, 2: {PROD}}], set(), id="it changed nothing anywhere"),
    ],
)
def test_how_the_commits_before_were_exported_decides(
    reached: set[str], earlier: Sequence[Mapping[int, set[str]]], apart: set[str]
) -> None:
    assert places_apart(reached, earlier) == apart


PLACES = st.frozensets(st.sampled_from([STAGING, PROD, EDGE]))
EXPORTS = st.dictionaries(st.integers(1, 4), PLACES, max_size=3)


@given(PLACES, st.lists(EXPORTS, max_size=4))
def test_one_waits_only_where_others_came(reached: frozenset[str], earlier: list[dict[int, frozenset[str]]]) -> None:
    apart = places_apart(reached, earlier)
    assert not apart & reached
    assert apart <= {place for exports in earlier for places in exports.values() for place in places}
    if all(len(exports) < 2 for exports in earlier):
        assert apart == set()
