"""Trouble with forges and chats, asked for from outside."""

from fnmatch import fnmatchcase
from typing import Literal

from fluxtrail.simulator.faults import ServiceFault


class ForgeFault(ServiceFault, forbid_unknown_fields=True, kw_only=True):
    """`POST /faults/forges`."""

    action: Literal["status", "drop", "delay", "error", "clear"]
    """`error`: 200 with `"ok": false`, as Slack refuses. `drop` with `is_after`: taken, and nobody hears of it."""
    error: str = "internal_error"
    systems: tuple[str, ...] = ()
    """Only these (`github`, `gitlab`, `azure_devops`, …); empty: all."""
    calls: tuple[str, ...] = ()
    """Only these (`status`, `deployment`, …); empty: all."""
    paths: tuple[str, ...] = ()
    """Only of paths like these, as a shell has them; empty: all."""

    def concerns(self, system: str, call: str, path: str) -> bool:
        is_meant = (not self.systems or system in self.systems) and (not self.calls or call in self.calls)
        return is_meant and (not self.paths or any(fnmatchcase(path, pattern) for pattern in self.paths))
