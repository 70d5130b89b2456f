"""Images are described once, by a real registry's answers; what it refuses is asked again when that may help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.ledger.world import fresh_place
from tests.remotes.oci.test_images import LABELS, SHA, Images
from tests.remotes.oci.worlds import FakeRegistry, says
from tests.trail.workloads.cluster import TurnedClock

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.registries import RegistryCredentials
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.image_records import ImageRecord, ImageState
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.oci.registries import Registries
from fluxtrail.remotes.oci.registry import RetryWaits
from fluxtrail.trail.images.knowing import ABSENT_TRIES, registry_of
from fluxtrail.trail.images.resolver import CONCURRENCY, ImageResolver


class Desk:
    """A resolver over a ledger and a registry; `restart` builds it anew."""

    def __init__(
        self, ledger: SqlLedger, clock: TurnedClock, fake: FakeRegistry, session: aiohttp.ClientSession
    ) -> None:
        self.ledger, self.clock, self.fake, self.session = ledger, clock, fake, session
        self.known = 0
        self.restart()

    def restart(self, *, patterns: tuple[str, ...] = ("http://127.0.0.1/*",), **options: Any) -> None:
        self.allow = AllowList(patterns)
        self.registries = Registries(
            self.session,
            allow=self.allow,
            credentials=RegistryCredentials(CredentialSource.from_settings([]), environ={}),
            retry_waits=RetryWaits(initial_seconds=0, longest_seconds=0, jitter_seconds=0),
            clock=lambda: self.clock.now().timestamp(),
            sleep=self.clock.sleep,
        )
        self.resolver = ImageResolver(
            ledger=self.ledger,
            registries=self.registries,
            clock=self.clock,
            insecure=[self.fake.host, self.fake.host.replace("127.0.0.1", "localhost")],
            on_known=self._count,
            **options,
        )

    def _count(self) -> None:
        self.known += 1

    async def pend(self, *digests: str, tag: str = "1.2.3") -> None:
        name = f"{self.fake.host}/acme/shop"
        async with self.ledger.unit() as unit:
            await unit.put_images(
                [
                    ImageRecord(digest=item, repository=name, image=f"{name}:{tag}", state=ImageState.PENDING)
                    for item in digests
                ]
            )

    async def settle(self) -> None:
        for _ in range(50):
            if not await self.resolver.work():
                return
        raise AssertionError("resolving never rests")

    async def image(self, digest: str) -> ImageRecord:
        async with self.ledger.unit() as unit:
            return (await unit.images([digest]))[digest]


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    fake = FakeRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def desk(tmp_path: Path, fake: FakeRegistry) -> AsyncIterator[Desk]:
    clock = TurnedClock()
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=clock)
    async with aiohttp.ClientSession() as session:
        yield Desk(ledger, clock, fake, session)
    await ledger.close()


async def test_all_digests_of_an_image_are_known_after_one_description(desk: Desk) -> None:
    images = Images(desk.fake)
    amd, _ = images.platform(labels=LABELS)
    arm, config = images.platform("linux/arm64", labels=LABELS)
    index = images.index({"linux/amd64": amd, "linux/arm64": arm})
    await desk.pend(arm)
    await desk.settle()

    found = {digest: await desk.image(digest) for digest in (index, amd, arm)}
    assert {record.state for record in found.values()} == {ImageState.KNOWN}
    assert {record.revision for record in found.values()} == {SHA}
    assert [found[digest].index_digest for digest in (index, amd, arm)] == [None, index, index]
    assert [found[digest].platform for digest in (index, amd, arm)] == ["", "linux/amd64", "linux/arm64"]
    assert [found[digest].is_index for digest in (index, amd, arm)] == [True, False, False]
    assert desk.known == 1

    asked = len(desk.fake.asked)
    await desk.pend(config)
    await desk.settle()
    assert (await desk.image(config)).index_digest == index
    desk.clock.turn(10 * 86_400)
    desk.restart()
    asked = len(desk.fake.asked)
    await desk.settle()
    assert len(desk.fake.asked) == asked, "a digest never changes"


async def test_index_that_is_learnt_later_is_that_of_its_platforms(desk: Desk) -> None:
    images = Images(desk.fake)
    amd, _ = images.platform(labels=LABELS)
    await desk.pend(amd)
    await desk.settle()
    assert (await desk.image(amd)).index_digest is None
    index = images.index({"linux/amd64": amd})
    await desk.pend(index)
    await desk.settle()
    assert (await desk.image(amd)).index_digest == index


async def test_registry_that_is_admitted_later_is_asked_then(desk: Desk) -> None:
    amd, _ = Images(desk.fake).platform(labels=LABELS)
    desk.restart(patterns=("http://127.0.0.1/else/*",))
    await desk.pend(amd)
    await desk.settle()
    assert (await desk.image(amd)).state is ImageState.UNASKED
    assert desk.fake.asked == []
    desk.clock.turn(86_400)
    desk.resolver.ask_again()
    await desk.settle()
    assert desk.fake.asked == []

    desk.restart()
    await desk.settle()
    assert (await desk.image(amd)).state is ImageState.KNOWN


async def test_private_image_is_flagged_and_asked_again_after_a_restart(desk: Desk) -> None:
    amd, _ = Images(desk.fake).platform(labels=LABELS)
    desk.fake.always["/v2/"] = says(401)
    await desk.pend(amd)
    await desk.settle()
    record = await desk.image(amd)
    assert record.state is ImageState.PRIVATE
    assert "credentials" in record.problem
    assert record.source is None
    asked = len(desk.fake.asked)
    await desk.settle()
    assert len(desk.fake.asked) == asked

    del desk.fake.always["/v2/"]
    desk.restart()
    await desk.settle()
    assert (await desk.image(amd)).state is ImageState.KNOWN


async def test_image_that_is_gone_is_given_up_at_last(desk: Desk) -> None:
    digest = "sha256:" + "1" * 64
    await desk.pend(digest)
    for _ in range(ABSENT_TRIES + 3):
        await desk.settle()
        desk.clock.turn(86_401)
    record = await desk.image(digest)
    assert (record.state, record.tries, record.retry_at) == (ImageState.ABSENT, ABSENT_TRIES, None)


async def test_registry_that_is_down_is_asked_later_and_later(desk: Desk) -> None:
    amd, _ = Images(desk.fake).platform(labels=LABELS)
    desk.fake.always["/v2/"] = says(503)
    await desk.pend(amd)
    waits = []
    for _ in range(3):
        await desk.settle()
        record = await desk.image(amd)
        assert record.state is ImageState.PENDING
        assert record.retry_at is not None
        waits.append(record.retry_at - desk.clock.now())
        desk.clock.time = record.retry_at
    assert waits[0] < waits[1] < waits[2]
    del desk.fake.always["/v2/"]
    await desk.settle()
    assert (await desk.image(amd)).state is ImageState.KNOWN


async def test_registry_that_asks_to_be_left_alone_is(desk: Desk) -> None:
    digests = [Images(desk.fake).platform(labels=LABELS | {"n": str(n)})[0] for n in range(6)]
    desk.fake.always["/v2/"] = says(429, Retry_After="600")
    await desk.pend(*digests)
    await desk.settle()
    asked = len(desk.fake.asked)
    assert 1 <= asked <= 8
    desk.clock.turn(300)
    await desk.settle()
    assert len(desk.fake.asked) == asked
    del desk.fake.always["/v2/"]
    desk.clock.turn(301)
    await desk.settle()
    assert {(await desk.image(digest)).state for digest in digests} == {ImageState.KNOWN}


async def test_budget_of_an_hour_outlives_a_restart(desk: Desk) -> None:
    digests = [Images(desk.fake).platform(labels=LABELS | {"n": str(n)})[0] for n in range(5)]
    limits = {desk.fake.host: 2}
    desk.restart(per_hour=limits)
    await desk.pend(*digests)
    await desk.settle()
    desk.restart(per_hour=limits)
    await desk.settle()
    assert await _states(desk, digests) == {ImageState.KNOWN: 2, ImageState.PENDING: 3}
    desk.clock.turn(3600)
    await desk.settle()
    assert await _states(desk, digests) == {ImageState.KNOWN: 4, ImageState.PENDING: 1}


async def test_what_flux_applied_is_asked_for_first(desk: Desk) -> None:
    digests = sorted(Images(desk.fake).platform(labels=LABELS | {"n": str(n)})[0] for n in range(5))
    desk.restart(per_hour={desk.fake.host: 1})
    await desk.pend(*digests)
    desk.resolver.want([digests[-1]], True)
    await desk.settle()
    assert (await desk.image(digests[-1])).state is ImageState.KNOWN


async def test_registry_that_fails_does_not_hold_up_another(desk: Desk) -> None:
    amd, _ = Images(desk.fake).platform(labels=LABELS)
    async with desk.ledger.unit() as unit:
        await unit.put_images(
            [
                ImageRecord(
                    digest=f"sha256:{n:064x}",
                    repository="registry.invalid/x",
                    image="registry.invalid/x:1",
                    state=ImageState.PENDING,
                )
                for n in range(8)
            ]
        )
    await desk.pend(amd)
    await desk.settle()
    assert (await desk.image(amd)).state is ImageState.KNOWN
    assert (await desk.image(f"sha256:{1:064x}")).state is ImageState.UNASKED


async def test_registry_that_never_answers_does_not_hold_up_another(desk: Desk) -> None:
    """A firewall drops what is sent to a registry that only the nodes reach."""

    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    desk.fake.always["/v2/far/"] = never
    amd, _ = Images(desk.fake).platform(labels=LABELS)
    name = f"localhost:{desk.fake.host.rpartition(':')[2]}/far/x"
    far = [f"sha256:{n:064x}" for n in range(12)]
    async with desk.ledger.unit() as unit:
        await unit.put_images(
            [ImageRecord(digest=item, repository=name, image=f"{name}:1", state=ImageState.PENDING) for item in far]
        )
    await desk.pend(amd)
    patterns = ("http://127.0.0.1/*", "http://localhost/*")
    desk.restart(patterns=patterns, answer_seconds=0.2, per_hour={name.partition("/")[0]: 12})
    await desk.settle()
    assert (await desk.image(amd)).state is ImageState.KNOWN
    assert await _states(desk, far) == {ImageState.PENDING: 12}
    asked = [item for item in desk.fake.asked if item.path.startswith("/v2/far/")]
    assert len(asked) == CONCURRENCY, "nobody else is asked there in vain"

    del desk.fake.always["/v2/far/"]
    desk.clock.turn(60)
    desk.restart(patterns=patterns, per_hour={name.partition("/")[0]: 12})
    await desk.settle()
    assert await _states(desk, far) == {ImageState.ABSENT: 8, ImageState.PENDING: 4}, "who was not asked cost nothing"


async def _states(desk: Desk, digests: list[str]) -> dict[ImageState, int]:
    states = [(await desk.image(digest)).state for digest in digests]
    return {state: states.count(state) for state in sorted(set(states))}


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("ghcr.io/acme/shop:1", "ghcr.io"),
        ("nginx", "docker.io"),
        ("library/nginx:1", "docker.io"),
        ("index.docker.io/library/nginx", "docker.io"),
        ("Registry.local:5000/x@sha256:ab", "registry.local:5000"),
        ("localhost/x", "localhost"),
    ],
)
def test_registry_of_an_image(image: str, registry: str) -> None:
    assert registry_of(image) == registry
