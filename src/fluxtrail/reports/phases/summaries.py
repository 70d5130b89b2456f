"""What an event's message says of single resources. Pure.

Source: kustomize-controller's messages of an apply (`<type>/<name> <verb>`, a line each) and of health checks that
failed (`timeout waiting for: [<resource> status: '<word>', …]`).
"""

from __future__ import annotations

import re

NAMES_LIMIT = 100
"""Resources of one message that get a record of their own."""

_LIST = re.compile(r"\[([^\[\]]*)\]")


def work_done(message: str) -> list[tuple[str, str]]:
    """Return what was done, by type of resource: `("deployment.apps", "1 configured, 1 unchanged")`.

    Warnings are counted under `warnings`. A message with any other line is told as it is, under `Info`.
    """
    counts: dict[str, dict[str, int]] = {}
    warnings = 0
    for line in message.rstrip().splitlines():
        if line.startswith("Warning"):
            warnings += 1
            continue
        words = line.split(" ")
        if not line:
            continue
        if len(words) != 2:
            return [("Info", message)]
        verbs = counts.setdefault(words[0].partition("/")[0], {})
        verbs[words[1]] = verbs.get(words[1], 0) + 1
    done = [(kind, ", ".join(f"{count} {verb}" for verb, count in verbs.items())) for kind, verbs in counts.items()]
    done = done[:NAMES_LIMIT]
    return [*done, ("warnings", f"Warnings: {warnings}")] if warnings else done


def unhealthy_names(message: str) -> list[str]:
    """Return the resources in the first list that a message has, whole; none where it has no list."""
    found = _LIST.search(message)
    names = found[1].split(", ") if found else []
    return [name.strip() for name in names if name.strip()][:NAMES_LIMIT]
