"""One transaction: the sum of its parts (`units/`), each about one subject."""

from __future__ import annotations

from fluxtrail.ledger.retention import RetentionPart
from fluxtrail.ledger.units.chains import ChainPart
from fluxtrail.ledger.units.clusters import ClusterPart
from fluxtrail.ledger.units.commits import CommitPart
from fluxtrail.ledger.units.deliveries import DeliveryPart
from fluxtrail.ledger.units.handovers import HandoverPart
from fluxtrail.ledger.units.objects import ObjectPart
from fluxtrail.ledger.units.records import RecordPart
from fluxtrail.ledger.units.repositories import RepositoryPart
from fluxtrail.ledger.units.running import RunningPart
from fluxtrail.ledger.units.syncs import SyncPart


class SqlUnit(
    ClusterPart,
    RepositoryPart,
    CommitPart,
    ChainPart,
    ObjectPart,
    SyncPart,
    DeliveryPart,
    RunningPart,
    HandoverPart,
    RecordPart,
    RetentionPart,
):
    """Everything that can be written, and read back, inside one transaction.

    Batches are sets: no method runs a statement for each record. Not for use after the unit has ended.
    """
