"""Has every image described once, by its registry: a durable job over the ledger's images.

A digest never changes, so what is known is known for good. What is asked for again is what a registry did not answer,
and, when another one is admitted, what nobody was allowed to ask.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError, RateLimitedError, StoreError, UpstreamError
from fluxtrail.model.image_facts import ImageFacts
from fluxtrail.model.image_records import ImageRecord, ImageState
from fluxtrail.trail.images.budgets import NOTE, Budgets
from fluxtrail.trail.images.knowing import SOON, digests_of, known_records, pending_image, refused_record, registry_of
from fluxtrail.trail.images.ports import ImageLedger, ImageRegistries, ImageUnit
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

CONCURRENCY = 4
"""Images that one registry is asked about at once."""
LINES = 8
"""Registries that are asked at once."""
ANSWER_SECONDS = 30.0
"""Within which an image must be described: a registry that only the nodes reach may never answer at all."""
BATCH = 200
"""Images looked at in one round."""
UNASKED_LIMIT = 5_000
PREFERRED_LIMIT = 1_000
REST_SECONDS = 60.0
"""Longest time between two looks for what has become due."""
RETRY_SECONDS = 5.0
GATHER_SECONDS = 0.5
REOPEN_SECONDS = 10.0
"""Least time between two looks at what nobody was allowed to ask: sources are seen in crowds."""

Answer = ImageFacts | FluxtrailError


class ImageResolver:
    """One for all clusters; `run` never ends by itself.

    Args:
        insecure: registries (`registry.local:5000`) that speak plain HTTP.
        per_hour: how many images a registry is asked about in an hour, by registry, instead of what is assumed.
        on_known: called after images were described or refused.
    """

    def __init__(
        self,
        *,
        ledger: ImageLedger,
        registries: ImageRegistries,
        clock: Clock,
        insecure: Collection[str] = (),
        per_hour: Mapping[str, int] | None = None,
        on_known: Callable[[], None] = lambda: None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._registries = registries
        self._clock = clock
        self._insecure = frozenset(insecure)
        self._budgets = Budgets(per_hour)
        self._on_known = on_known
        self._answer_seconds = answer_seconds
        self._preferred: dict[str, None] = {}
        self._expected: dict[str, str] = {}
        """Images by digest that are to be noted."""
        self._wake = asyncio.Event()
        self._is_loaded = False
        self._asks_again = True
        """Registries may have been admitted: what was not asked is looked at again."""
        self._reopens_at = 0.0
        self.described = 0
        """Images described since the start."""
        self.refused = 0
        """Questions that brought no description."""

    def want(self, digests: Iterable[str], is_applied: bool) -> None:
        """New digests are in the ledger, to be described; first those that run in what Flux applied."""
        if is_applied:
            self._preferred.update(dict.fromkeys(digests))
            while len(self._preferred) > PREFERRED_LIMIT:
                del self._preferred[next(iter(self._preferred))]
        self._wake.set()

    def expect(self, image: str, digest: str) -> None:
        """An image is about to run: its policy has chosen it."""
        if len(self._expected) < PREFERRED_LIMIT:
            self._expected[digest] = image
        self._wake.set()

    def ask_again(self) -> None:
        """The list of registries that may be asked has changed."""
        self._asks_again = True
        self._wake.set()

    async def run(self) -> None:
        """Resolve for ever; a registry that fails does not hold up the others."""
        while True:
            self._wake.clear()
            try:
                busy = await self.work()
            except StoreError as exc:
                log.warning("images not resolved", error=str(exc))
                await self._clock.sleep(RETRY_SECONDS)
                continue
            if not busy:
                await self._rest()
                await self._clock.sleep(GATHER_SECONDS)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(REOPEN_SECONDS if self._asks_again else REST_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def work(self) -> bool:
        """Describe what is due, once; returns whether there was anything."""
        async with self._ledger.unit() as unit:
            if not self._is_loaded:
                self._budgets.read(await unit.get_note(NOTE))
                await self._retry_private(unit)
                self._is_loaded = True
            if self._asks_again and self._clock.monotonic() >= self._reopens_at:
                self._asks_again = False
                self._reopens_at = self._clock.monotonic() + REOPEN_SECONDS
                await self._reopen(unit)
            await self._note_expected(unit)
            due = await self._due(unit)
        await self._describe_lines(await self._spend(due))
        return bool(due)

    async def _reopen(self, unit: ImageUnit) -> None:
        """Ask about what nobody was allowed to ask about, where that has changed."""
        unasked = await unit.images_in_state(ImageState.UNASKED, UNASKED_LIMIT)
        admitted = [record for record in unasked if self._may_ask(record)]
        await unit.put_images(
            [replace(record, state=ImageState.PENDING, retry_at=None, tries=0) for record in admitted]
        )

    async def _retry_private(self, unit: ImageUnit) -> None:
        """Who starts anew may have been given a login."""
        private = await unit.images_in_state(ImageState.PRIVATE, UNASKED_LIMIT)
        await unit.put_images([replace(record, retry_at=self._clock.now(), tries=0) for record in private])

    async def _note_expected(self, unit: ImageUnit) -> None:
        expected, self._expected = self._expected, {}
        known = await unit.images(list(expected))
        await unit.put_images([pending_image(item, image) for item, image in expected.items() if item not in known])

    async def _due(self, unit: ImageUnit) -> list[ImageRecord]:
        now = self._clock.now()
        wanted = (await unit.images(list(self._preferred))).values()
        preferred = [record for record in wanted if record.state is ImageState.PENDING]
        self._preferred = {record.digest: None for record in preferred}
        first = [record for record in preferred if record.retry_at is None or record.retry_at <= now]
        due = {record.digest: record for record in (*first, *await unit.images_due(now, limit=BATCH))}
        return list(due.values())

    async def _spend(self, due: Sequence[ImageRecord]) -> list[ImageRecord]:
        """Return what may be asked within the budgets; the rest is put off until there is one again."""
        now = self._clock.now()
        ready: list[ImageRecord] = []
        waiting: list[ImageRecord] = []
        for record in due:
            until = self._budgets.spend(registry_of(_reference(record)), now) if self._may_ask(record) else None
            if until is None:
                ready.append(record)
            else:
                waiting.append(replace(record, retry_at=until))
        if waiting:
            log.info("images wait for a registry's budget", images=len(waiting))
            await self._put_off(waiting)
        return ready

    async def _put_off(self, records: Sequence[ImageRecord]) -> None:
        async with self._ledger.unit() as unit:
            await unit.put_note(NOTE, self._budgets.write())
            await unit.put_images(records)

    # -- asking ------------------------------------------------------------------------------------------------

    async def _describe_lines(self, records: Iterable[ImageRecord]) -> None:
        """Describe these, the images of each registry in a line of its own.

        Raises:
            StoreError: of one line, when all have ended.
        """
        lines: defaultdict[str, list[ImageRecord]] = defaultdict(list)
        for record in records:
            lines[registry_of(_reference(record))].append(record)
        turns = asyncio.Semaphore(LINES)
        problems: list[StoreError] = []

        async def describe(registry: str, line: Sequence[ImageRecord]) -> None:
            try:
                async with turns:
                    await self._describe_line(registry, line)
            except StoreError as exc:
                problems.append(exc)

        async with asyncio.TaskGroup() as group:
            for registry, line in lines.items():
                group.create_task(describe(registry, line), name=f"describe images of {registry[:100]}")
        if problems:
            raise problems[0]

    async def _describe_line(self, registry: str, records: Sequence[ImageRecord]) -> None:
        """Describe images of one registry, until it answers nothing any more: the rest waits, and costs nothing."""
        for end in range(CONCURRENCY, len(records) + CONCURRENCY, CONCURRENCY):
            asked, rest = records[end - CONCURRENCY : end], records[end:]
            answers = await self._describe_all(asked)
            if rest and not any(map(_is_answer, answers)):
                self._budgets.give_back(registry, len(rest))
                log.info("registry does not answer", registry=registry, images_waiting=len(rest))
                until = self._clock.now() + SOON
                await self._put_off([replace(record, retry_at=until) for record in rest])
                return

    async def _describe_all(self, records: Sequence[ImageRecord]) -> list[Answer]:
        answers: dict[str, Answer] = {}

        async def describe(record: ImageRecord) -> None:
            answers[record.digest] = await self._describe(record)

        async with asyncio.TaskGroup() as group:
            for record in records:
                group.create_task(describe(record), name=f"describe {record.digest[:19]}")
        now = self._clock.now()
        async with self._ledger.unit() as unit:
            await unit.put_note(NOTE, self._budgets.write())
            for record in records:
                await unit.put_images(await self._records(unit, record, answers[record.digest], now))
        self._on_known()
        return list(answers.values())

    async def _describe(self, record: ImageRecord) -> Answer:
        try:
            facts = await self._ask(record)
        except FluxtrailError as exc:
            self.refused += 1
            log.info("image not described", image=record.image, digest=record.digest, error=str(exc))
            return exc
        self.described += 1
        return facts

    async def _ask(self, record: ImageRecord) -> ImageFacts:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._registries.describe(
                    _reference(record), record.digest, insecure=self._is_insecure(record)
                )
        except TimeoutError as exc:
            raise UpstreamError(f"the registry did not answer within {self._answer_seconds:g} s") from exc

    async def _records(self, unit: ImageUnit, asked: ImageRecord, answer: Answer, now: datetime) -> list[ImageRecord]:
        current = (await unit.images([asked.digest])).get(asked.digest, asked)
        if current.state is ImageState.KNOWN:
            asked = current  # another platform of it was described at the same time
        if isinstance(answer, ImageFacts):
            there = await unit.images(digests_of(answer))
            return known_records(asked, answer, there, now=now)
        if current.state is ImageState.KNOWN:
            return []
        refused = refused_record(asked, answer, now=now)
        if isinstance(answer, RateLimitedError):
            return [refused, *await self._limited(unit, refused)]
        return [refused]

    async def _limited(self, unit: ImageUnit, refused: ImageRecord) -> list[ImageRecord]:
        """Leave a registry alone that asks for it: everything else that is due there waits as long."""
        registry = registry_of(_reference(refused))
        due = await unit.images_due(self._clock.now(), limit=BATCH)
        return [
            replace(record, retry_at=refused.retry_at)
            for record in due
            if registry_of(_reference(record)) == registry and record.digest != refused.digest
        ]

    def _may_ask(self, record: ImageRecord) -> bool:
        return self._registries.may_ask(_reference(record), insecure=self._is_insecure(record))

    def _is_insecure(self, record: ImageRecord) -> bool:
        return registry_of(_reference(record)) in self._insecure


def _is_answer(answer: Answer) -> bool:
    """Whether a registry was there, whatever it said. What nobody was allowed to ask does not tell otherwise."""
    return type(answer) is not UpstreamError or answer.status is not None


def _reference(record: ImageRecord) -> str:
    return record.image or record.repository
