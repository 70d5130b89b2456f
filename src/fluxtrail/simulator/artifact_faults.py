"""Trouble with the artifact metadata API, asked for from outside: refusals, cut connections, slow answers."""

from datetime import datetime
from typing import Literal

from fluxtrail.simulator.faults import Faults, ServiceFault

Call = Literal["single", "cluster", "job", "job_status"]
_OF_JOBS = ("fail_job", "slow_job")


class RecordsFault(ServiceFault, forbid_unknown_fields=True, kw_only=True):
    """`POST /faults/records`."""

    action: Literal["status", "drop", "delay", "fail_job", "slow_job", "clear"]
    """`fail_job`: the next job is taken, and ends as `failed`. `slow_job`: it takes `delay_seconds` longer."""
    calls: tuple[Call, ...] = ()
    """Only these; empty: all."""


class RecordsFaults(Faults[RecordsFault]):
    """The faults that wait, in the order in which they were asked for."""

    def __init__(self) -> None:
        super().__init__(beside=("delay", "slow_job"))

    def take(self, call: Call, now: datetime) -> list[RecordsFault]:
        """Return what strikes a request; see `Faults.strike`."""

        def concerns(fault: RecordsFault) -> bool:
            return (not fault.calls or call in fault.calls) and (fault.action not in _OF_JOBS or call == "job")

        return self.strike(concerns, now)
