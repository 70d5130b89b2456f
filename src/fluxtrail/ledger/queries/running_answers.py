"""The questions about what runs, each on one snapshot of everything committed."""

from __future__ import annotations

from fluxtrail.ledger.queries import images, workloads
from fluxtrail.ledger.queries.asking import LIMIT, Asking, find_word
from fluxtrail.ledger.queries.images import ImageFilter
from fluxtrail.ledger.queries.pages import Page
from fluxtrail.ledger.queries.workloads import WorkloadFilter
from fluxtrail.model.image_records import ImageState
from fluxtrail.model.rollout import RolloutCause, RolloutState
from fluxtrail.model.views import ImageDetail, ImageView, WorkloadView


class RunningAnswers(Asking):
    async def list_workloads(
        self,
        *,
        cluster: str | None = None,
        namespace: str | None = None,
        target: str | None = None,
        state: str | None = None,
        cause: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page[WorkloadView]:
        """Return live workloads that Flux applied: failed, blocked, progressing, absent, rolled out, by name in each.

        Args:
            cluster: a name or a uid.
            target: whose inventory it is in, as in `list_targets`.

        Raises:
            ConfigError: a cursor of another list; a state or a cause that does not exist.
        """
        chosen = WorkloadFilter(
            cluster=cluster,
            namespace=namespace,
            target=target,
            state=find_word(RolloutState, state, "state"),
            cause=find_word(RolloutCause, cause, "cause"),
        )
        async with self._situation() as (session, situation):
            return await workloads.list_workloads(session, situation, chosen, limit=limit, cursor=cursor)

    async def list_images(
        self,
        *,
        cluster: str | None = None,
        namespace: str | None = None,
        state: str | None = None,
        text: str | None = None,
        revision: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page[ImageView]:
        """Return images: those that run, then those that ran, what began last first in each.

        Args:
            cluster: a name or a uid; only what runs there now.
            namespace: as `cluster`.
            text: the beginning of a digest, or a part of `repository:tag` in any case.
            revision: the whole sha of the commit that they were built from.

        Raises:
            ConfigError: a cursor of another list; a state that does not exist.
        """
        chosen = ImageFilter(
            cluster=cluster,
            namespace=namespace,
            state=find_word(ImageState, state, "state"),
            text=text,
            revision=revision.strip().lower() if revision else None,
        )
        async with self._situation() as (session, situation):
            return await images.list_images(session, situation, chosen, limit=limit, cursor=cursor)

    async def find_image(self, query: str) -> ImageDetail | list[ImageView] | None:
        """Return the image that `query` means, its candidates where it may be several, None for nothing.

        Args:
            query: a digest, with or without `sha256:`, or its first digits (4 or more); a reference: `name`,
                `name:tag`, `name@sha256:…`, where the end of a name after a slash will do.
        """
        async with self._situation() as (session, situation):
            return await images.find_image(session, situation, query)
