"""Images: wires what notices them, what asks registries about them, and what delivers the commits behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fluxtrail.clusters.connection import Connection
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.remotes import Remotes
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.telemetry import Job
from fluxtrail.trail.images.bumps import ImageBumps
from fluxtrail.trail.images.keeper import ImageKeeper
from fluxtrail.trail.images.resolver import ImageResolver
from fluxtrail.trail.ports import Clock, RepositoryReader
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.workloads.view import WorkloadView
from fluxtrail.web.measures import Measure, counter, gauge


class Images:
    """All clusters' images. Tell it what goes on, and run its jobs."""

    def __init__(
        self,
        settings: Settings,
        remotes: Remotes,
        *,
        registry: Registry,
        ledger: FoldedLedger,
        find_reader: Callable[[str], RepositoryReader | None],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._bumps = ImageBumps(ledger=ledger, registry=registry, find_reader=find_reader, clock=clock)
        self._resolver = ImageResolver(
            ledger=ledger,
            registries=remotes.registries,
            clock=clock,
            insecure=settings.images.insecure_registries,
            on_known=self._bumps.wake,
        )

    def keeper(self, view: WorkloadView, _connection: Connection) -> ImageKeeper:
        """Return what notices the images of a cluster that was connected to."""
        return ImageKeeper(view, ledger=self._ledger, clock=self._clock, on_digests=self._resolver.want)

    def note_syncs(self) -> None:
        """Syncs began, went on, or were attributed: an image that one set may be traced."""
        self._bumps.wake()

    def expect(self, image: str, digest: str) -> None:
        """An image is about to be run: a policy chose it."""
        self._resolver.expect(image, digest)

    def note_source(self, _url: str) -> None:
        """A source is watched: its host may be asked from now on."""
        self._resolver.ask_again()

    def measures(self) -> Iterable[Measure]:
        resolver, bumps = self._resolver, self._bumps
        yield counter("fluxtrail_images_described", "Images that a registry described.", resolver.described)
        yield counter("fluxtrail_images_refused", "Questions to registries that brought no answer.", resolver.refused)
        yield gauge("fluxtrail_image_bumps_waiting", "Roll-outs whose images are still to be traced.", bumps.waiting)

    @property
    def jobs(self) -> dict[str, Job]:
        return {"images": self._resolver.run, "image bumps": self._bumps.run}
