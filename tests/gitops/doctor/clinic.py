"""A cluster with objects whose status is recorded, and a doctor that goes round."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.model.doctor.wards import NOW, Object, condition, release, source

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.doctor.round import Report, Rounds
from fluxtrail.gitops.doctor.treatment import FIELD_MANAGER, Treater
from fluxtrail.model.doctor.budgets import Limits
from fluxtrail.model.doctor.policy import Policy
from fluxtrail.simulator.apiserver.server import ApiServer

HELM = "helmreleases"
PLACES = {
    "HelmRelease": HELM,
    "Kustomization": "kustomizations",
    "GitRepository": "gitrepositories",
    "OCIRepository": "ocirepositories",
}
GIVEN_UP = (
    condition("Ready", "False", "UpgradeFailed", "Helm upgrade failed: timeout"),
    condition("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)"),
)
WELL = condition("Ready", "True", "Succeeded")


@dataclass
class Clinic:
    server: ApiServer
    connection: Connection
    now: datetime = NOW
    calls: list[tuple[str, str]] = field(default_factory=list)

    def put(self, obj: Object, resource: str = "") -> Object:
        stored = {key: value for key, value in obj.items() if key != "kind"}
        stored["metadata"] = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
        place = resource or PLACES[obj["kind"]]
        return self.server.store.create(place, stored, with_status=True, manager="kustomize-controller")

    def put_exhausted(self, name: str = "api", **spec: Any) -> Object:
        chart = {"chartRef": {"kind": "OCIRepository", "name": "charts"}}
        return self.put(release(name, *GIVEN_UP, spec=chart | spec, status={"lastAttemptedRevision": "1.2.0"}))

    def read(self, name: str = "api") -> Object:
        return self.server.store.get(HELM, name, "apps")

    def rounds(self, *, acts: bool = True, limits: Limits | None = None, **more: Any) -> Rounds:
        """Return what a process that has just started has."""
        writer = Writer(self.connection, field_manager=FIELD_MANAGER)
        treater = Treater(writer=writer, cluster="clinic", now=lambda: self.now, acts=acts)
        return Rounds(
            connection=self.connection,
            treater=treater,
            policy=Policy(),
            limits=limits or Limits(),
            **more,
        )

    async def go(self, **more: Any) -> Report:
        return await self.rounds(**more).go()

    def events(self) -> list[Object]:
        return self.server.store.list("events", "apps")


@asynccontextmanager
async def open_clinic(*, tokens: dict[str, str] | None = None) -> AsyncIterator[Clinic]:
    async with ApiServer(name="clinic", tokens=tokens) as server:
        server.store.insert_namespace("apps")
        async with Connection(Endpoint(name="clinic", server=server.url)) as connection:
            clinic = Clinic(server, connection)
            clinic.put(source("OCIRepository", "charts", WELL))
            yield clinic
