"""The one cache: what is kept how long, by which clock, and what is told of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from fluxtrail.credentials.tokens.cache import Issued, TokenCache
from fluxtrail.credentials.tokens.keys import Secret, digest, subject_of
from fluxtrail.model.errors import AuthError, UpstreamError, WireError


@dataclass
class Clocks:
    monotonic: float = 1_000.0
    wall: float = 1_768_212_000.0
    made: list[str] = field(default_factory=list)

    def forward(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def cache(self, **options: int) -> TokenCache:
        return TokenCache(
            monotonic=lambda: self.monotonic, wall=lambda: self.wall, items_limit=options.get("limit", 100)
        )

    def fetch(self, life_seconds: float = 100.0) -> Callable[[], Awaitable[Issued[str]]]:
        async def fetch() -> Issued[str]:
            self.made.append(f"planted-{len(self.made)}")
            return Issued(value=self.made[-1], life_seconds=life_seconds, secrets=(self.made[-1],))

        return fetch


async def failing() -> Issued[str]:
    raise UpstreamError("down")


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.mark.parametrize(
    ("life_seconds", "kept_seconds"), [(100, 80), (3600, 2880), (4500, 3600), (86_400, 3600), (1, 0.8)]
)
async def test_four_fifths_of_the_life_an_hour_at_most(
    clocks: Clocks, life_seconds: float, kept_seconds: float
) -> None:
    cache, fetch = clocks.cache(), clocks.fetch(life_seconds)
    assert await cache.get("a", fetch, provider="p") == "planted-0"
    clocks.forward(kept_seconds - 0.01)
    assert await cache.get("a", fetch, provider="p") == "planted-0"
    clocks.forward(0.02)
    assert await cache.get("a", fetch, provider="p") == "planted-1"


@pytest.mark.parametrize(("monotonic", "wall"), [(90, 0), (0, 90), (90, -10_000), (-0.5, 90)])
async def test_the_pessimistic_clock_wins(clocks: Clocks, monotonic: float, wall: float) -> None:
    cache = clocks.cache()
    await cache.get("a", clocks.fetch(), provider="p")
    clocks.monotonic += monotonic
    clocks.wall += wall
    assert await cache.get("a", clocks.fetch(), provider="p") == "planted-1"


@pytest.mark.parametrize("life_seconds", [0.0, -5.0, float("nan")])
async def test_what_has_ended_already_is_not_taken(clocks: Clocks, life_seconds: float) -> None:
    cache = clocks.cache()
    with pytest.raises(WireError, match="ended already"):
        await cache.get("a", clocks.fetch(life_seconds), provider="p")
    assert cache.size == 0


async def test_what_holds_is_given_until_its_end_and_not_beyond(clocks: Clocks) -> None:
    cache = clocks.cache()
    await cache.get("a", clocks.fetch(), provider="p")
    clocks.forward(89)
    assert await cache.get("a", failing, provider="p") == "planted-0"
    clocks.forward(2)
    with pytest.raises(UpstreamError):
        await cache.get("a", failing, provider="p")


async def test_a_refused_identity_is_not_given_what_it_had(clocks: Clocks) -> None:
    async def refusing() -> Issued[str]:
        raise AuthError("no")

    cache = clocks.cache()
    await cache.get("a", clocks.fetch(), provider="p")
    clocks.forward(81)
    with pytest.raises(AuthError):
        await cache.get("a", refusing, provider="p")


async def test_the_least_recently_used_are_forgotten(clocks: Clocks) -> None:
    cache = clocks.cache(limit=2)
    for key in ("a", "b", "a", "c"):
        await cache.get(key, clocks.fetch(), provider="p")
    assert cache.size == 2
    assert cache.counts.evictions == 1
    assert await cache.get("a", clocks.fetch(), provider="p") == "planted-0"
    assert await cache.get("b", clocks.fetch(), provider="p") == "planted-3"


async def test_what_is_forgotten_is_still_cleared_from_messages(clocks: Clocks) -> None:
    cache = clocks.cache(limit=1)
    await cache.get("a", clocks.fetch(), provider="p")
    await cache.get("b", clocks.fetch(), provider="p")
    assert cache.reject("planted-1")
    assert not cache.reject("planted-1")
    assert set(cache.secrets) == {"planted-0", "planted-1"}
    for number in range(200):
        await cache.get(f"k{number}", clocks.fetch(), provider="p")
    assert len(cache.secrets) <= 65, "their number is bounded"


async def test_it_is_counted_by_provider(clocks: Clocks) -> None:
    cache = clocks.cache()
    for _ in range(3):
        await cache.get("a", clocks.fetch(), provider="azure")
    with pytest.raises(UpstreamError):
        await cache.get("b", failing, provider="gcp")
    counts = cache.counts
    assert (counts.hits, counts.misses) == ({"azure": 2}, {"azure": 1, "gcp": 1})
    assert (counts.successes, counts.failures) == ({"azure": 1}, {"gcp": 1})


async def test_its_representation_shows_nothing(clocks: Clocks) -> None:
    cache = clocks.cache()
    await cache.get("a", clocks.fetch(), provider="p")
    shown = repr([cache, Issued(value="planted-0", life_seconds=1, secrets=("planted-0",)), Secret("planted-0")])
    assert "planted" not in shown


def test_a_digest_tells_identities_apart() -> None:
    assert digest(a="1", b="2") == digest(b="2", a="1")
    different = [digest(a="1\nb='2'"), digest(a="1", b="2"), digest(a="1", b=None), digest(a="1"), digest(a="12")]
    assert len(set(different)) == len(different)
    assert all(len(text) == 64 for text in different)


@pytest.mark.parametrize("text", ["", "a.b.c", "opaque", "e30.e30.e30", "e30.WzFd.x", "x.\udcff.y"])
def test_a_proof_that_says_nothing_stands_for_itself(text: str) -> None:
    assert subject_of(text) == text
