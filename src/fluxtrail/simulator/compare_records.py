"""Where the deployment records that GitHub holds differ from what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def differences_of_records(truth: Sequence[Json], records: Sequence[Json], *, was_away: bool = False) -> list[str]:
    """Return every difference, one line each; empty means that GitHub holds what is true.

    Args:
        truth: `{cluster, deployment_name, digest, status, is_attested}` of every name that ever was. GitHub takes
            no record of an artifact without attestation: it then holds nothing, or an earlier one that went.
        records: GitHub's, with at least the same keys, the last apart.
        was_away: Fluxtrail was not there all the time: what went before GitHub ever heard of it need not be told.
    """
    told = {(record["cluster"], record["deployment_name"]): record for record in records}
    differences = []
    for true in truth:
        key = (true["cluster"], true["deployment_name"])
        name = f"{key[0]}: {key[1]}"
        found = told.pop(key, None)
        if not true.get("is_attested", True):
            if found is not None and found["status"] != "decommissioned":
                differences.append(f"{name} is {_say(found)}, true is an artifact that GitHub does not know")
        elif found is None and was_away and true["status"] == "decommissioned":
            continue
        elif found is None:
            differences.append(f"{name} is not there, true is {_say(true)}")
        elif (found["digest"], found["status"]) != (true["digest"], true["status"]):
            differences.append(f"{name} is {_say(found)}, true is {_say(true)}")
    return differences + [f"{cluster}: {name} is there, and never was" for cluster, name in sorted(told)]


def _say(record: Json) -> str:
    return f"{record['status']} {record['digest'][:19]}"
