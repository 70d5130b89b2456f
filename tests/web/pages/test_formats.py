from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fluxtrail.web.pages import formats
from fluxtrail.web.pages.filters import read_instant
from fluxtrail.web.problems import ProblemError

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "just now"), (0.9, "just now"), (90, "1m30s ago"), (-5, "in 5s"), (86400 * 3, "3d ago")]
)
def test_age(seconds: float, text: str) -> None:
    assert formats.age(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "1m30s"), (-5, "0s")])
def test_lasted(seconds: float, text: str) -> None:
    assert formats.lasted(NOW - timedelta(seconds=seconds), NOW) == text


def test_counts_of_verdicts_come_in_the_order_of_care() -> None:
    given = {"deployed": 3, "new": 1, "unaffected": 9, "pending": 2, "failed": 1}
    assert list(formats.worst_first(given)) == ["failed", "pending", "deployed", "unaffected", "new"]


def test_nothing_is_shown_of_what_is_not_known() -> None:
    assert (formats.age(None, NOW), formats.absolute(None), formats.iso(None), formats.duration(None)) == ("",) * 4


@pytest.mark.parametrize(
    ("canonical", "name"),
    [
        ("github.com/acme/shop", "acme/shop"),
        ("gitlab.example/group/sub/shop", "group/sub/shop"),
        ("oci://ghcr.io/acme/charts/shop", "charts/shop"),
        ("file:/srv/git/acme/shop", "acme/shop"),
        ("shop", "shop"),
        (None, ""),
    ],
)
def test_repository_name(canonical: str | None, name: str) -> None:
    assert formats.repository_name(canonical) == name


@pytest.mark.parametrize(
    ("revision", "text"),
    [
        ("main@sha1:77aa88bb99cc00dd", "main@sha1:77aa88bb"),
        ("sha256:0123456789abcdef", "sha256:01234567"),
        ("1.2.3", "1.2.3"),
        (None, ""),
    ],
)
def test_short_revision(revision: str | None, text: str) -> None:
    assert formats.short_revision(revision) == text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil", "/x", "http://", "http://[", ""]
)
def test_no_link_leads_to_what_is_no_web_address(url: str) -> None:
    assert formats.safe_url(url) == ""


def test_link_to_the_web_is_kept() -> None:
    assert formats.safe_url("https://github.com/acme/shop?a=b") == "https://github.com/acme/shop?a=b"


def test_other_names() -> None:
    assert formats.short_digest("sha256:" + "0123456789abcdef" * 4) == "sha256:0123456789ab"
    assert formats.short_digest("0123456789abcdef") == "0123456789ab"
    assert formats.target_parts("Kustomization/flux-system/apps") == ("Kustomization", "flux-system", "apps")
    assert formats.path_part("sha256:a/b") == "sha256%3Aa%2Fb"
    assert formats.plural(1, "target") == "1 target"
    assert formats.plural(2000, "delivery", "deliveries") == "2,000 deliveries"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-20T10:00:00+01:00", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("999999w", datetime(1970, 1, 1, tzinfo=UTC)),
        (None, None),
    ],
)
def test_instant_of_a_filter(text: str | None, instant: datetime | None) -> None:
    assert read_instant(text, now=NOW, parameter="since") == instant


@pytest.mark.parametrize("text", ["soon", "7 y", "2026-11-20T10:00:00", "-1h"])
def test_instant_that_nobody_understands_is_refused(text: str) -> None:
    with pytest.raises(ProblemError) as caught:
        read_instant(text, now=NOW, parameter="until")
    assert caught.value.problem.errors[0].parameter == "until"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("`fluxtrail doctor` says", "<code>fluxtrail doctor</code> says"),
        ("`<b>` & `", "<code>&lt;b&gt;</code> &amp; `"),
        ("none", "none"),
    ],
)
def test_only_what_stands_between_backticks_is_code(text: str, html: str) -> None:
    assert str(formats.with_code(text)) == html


def test_many_names_are_cut() -> None:
    assert formats.some(["a", "b", "c", "d"]) == "a, b, c, d"
    assert formats.some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("registry.example/acme/platform/checkout:v1@sha256:" + "0" * 64, "platform/checkout:v1"),
        ("localhost:5000/shop:v2", "localhost:5000/shop:v2"),
        ("nginx", "nginx"),
    ],
)
def test_short_image(name: str, short: str) -> None:
    assert formats.short_image(name) == short
