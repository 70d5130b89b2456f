"""Conflicts of server-side apply, for people: who owns which field, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from fluxtrail.clusters.answers import FieldConflict

FIELDS_SHOWN = 5
_CONTROLLERS = ("kustomize-controller", "helm-controller")


def explain(conflicts: Sequence[FieldConflict]) -> str:
    """Return whose the fields are, and the remedy that suits the owner."""
    fields: dict[str, list[str]] = {}
    for conflict in conflicts:
        fields.setdefault(conflict.manager, []).append(conflict.field)
    parts = [f"{manager} owns {_listed(named)}" for manager, named in fields.items()]
    return "; ".join(parts) + f": {_remedy(list(fields))}"


def _listed(fields: list[str]) -> str:
    shown = ", ".join(fields[:FIELDS_SHOWN])
    return f"{shown} and {len(fields) - FIELDS_SHOWN} more" if len(fields) > FIELDS_SHOWN else shown


def _remedy(managers: list[str]) -> str:
    flux = next((manager for manager in managers if manager in _CONTROLLERS), None)
    if flux is not None:
        return f"it is applied by Flux ({flux}), which would set it back; change it in Git"
    return "--force-conflicts takes them over; whoever still applies them will conflict then"
