from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.cli.words import (
    age,
    clock,
    fit,
    pending_words,
    printable,
    short_revision,
    split_image_name,
    split_target,
    width_of,
)
from fluxtrail.model.durations import duration
from fluxtrail.model.verdict import PendingReason

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (14, "14s"),
        (59.6, "1m"),
        (133, "2m13s"),
        (120, "2m"),
        (11100, "3h05m"),
        (3600, "1h"),
        (352800, "4d02h"),
        (-5, "-5s"),
        (-0.2, "0s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ages_are_never_negative() -> None:
    assert age(NOON + timedelta(seconds=9), NOON) == "0s"
    assert age(None, NOON) == "-"


def test_a_clock_names_the_day_where_it_is_another() -> None:
    assert clock(NOON, NOON, UTC) == "12:00:00"
    assert clock(NOON + timedelta(days=1), NOON, UTC) == "Nov 21 12:00:00"


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("main@sha1:5394cb7f48332b2de7c17dd8b8384bbc84b7e738", "main@sha1:5394cb7f"),
        ("6.5.3", "6.5.3"),
        (None, "-"),
        ("", "-"),
    ],
)
def test_revisions_are_shortened_as_flux_does(text: str | None, short: str) -> None:
    assert short_revision(text) == short


@pytest.mark.parametrize(
    ("text", "parts"),
    [("Kustomization/a/b", ("Kustomization", "a", "b")), ("a/b", ("", "a", "b")), ("b", ("", "", "b"))],
)
def test_targets_are_split(text: str, parts: tuple[str, str, str]) -> None:
    assert split_target(text) == parts


@pytest.mark.parametrize("reason", list(PendingReason))
def test_every_reason_has_words(reason: PendingReason) -> None:
    words = pending_words(reason.value, "Kustomization/flux-system/apps")
    assert "_" not in words
    assert words != reason.value


@given(st.text(max_size=60), st.integers(0, 40))
def test_text_fits(text: str, width: int) -> None:
    shown = fit(printable(text), width)
    assert width_of(shown) <= max(width, 0)
    assert shown.isprintable()


def test_wide_characters_take_two_columns() -> None:
    assert width_of("変更") == 4
    assert fit("変更変更", 5) == "変更…"


@pytest.mark.parametrize(
    ("name", "registry", "path"),
    [
        ("ghcr.io/acme/shop", "ghcr.io", "acme/shop"),
        ("localhost/shop", "localhost", "shop"),
        ("registry:5000/shop", "registry:5000", "shop"),
        ("nginx", "docker.io", "nginx"),
        ("bitnami/redis", "docker.io", "bitnami/redis"),
    ],
)
def test_an_image_without_a_host_is_docker_hubs(name: str, registry: str, path: str) -> None:
    assert split_image_name(name) == (registry, path)
