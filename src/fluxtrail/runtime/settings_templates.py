"""The texts of routes: which names a template may use, and the check of one when the settings are read."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from fluxtrail.model.errors import ConfigError

COMMIT_NAMES = ("sha", "short_sha", "subject", "author", "repository", "branch", "pull_request")
EXAMPLE = MappingProxyType(
    {
        "commit": {
            "sha": "40d6b21b888db0ca794876cf7bdd399e3da2137e",
            "short_sha": "40d6b21b",
            "subject": "Show prices with taxes (#12)",
            "author": "Ada",
            "repository": "github.com/acme/shop",
            "branch": "main",
            "pull_request": 12,
        },
        "environment": "production",
        "state": "failure",
        "verdict": "failed",
        "reason": "HealthCheckFailed",
        "message": "timeout waiting for: [Deployment/shop/web]",
        "stage": "applied",
        "cluster": "eu",
        "target": "Kustomization/flux-system/shop",
        "done": 2,
        "total": 3,
        "lead": "4m12s",
        "clusters": ["eu", "us"],
        "url": "https://fluxtrail.example.com/commits/40d6b21b888db0ca794876cf7bdd399e3da2137e",
    }
)
"""Every name that a template may use (docs/statuses.md), with a value of the right kind."""


def check_template(source: str) -> str:
    """Return `source`, a template that can be used.

    Names are looked for in branches that the example does not take, too: what is only said of a failure must not fail
    then.

    Raises:
        ValueError: it cannot be read, or asks for what there is not; the message says what there is.
    """
    from jinja2 import Environment, TemplateError, meta, nodes  # noqa: PLC0415 - only where there are templates

    from fluxtrail.reports.templates import Text  # noqa: PLC0415

    try:
        Text(source, example=EXAMPLE, subject="template")
        tree = Environment(autoescape=True).parse(source)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc
    except TemplateError as exc:
        raise ValueError(f"the template cannot be read: {exc}") from exc
    unknown = sorted(meta.find_undeclared_variables(tree) - set(EXAMPLE))
    if unknown:
        raise ValueError(
            f"the template uses {unknown[0]!r}, which there is not; names are {', '.join(sorted(EXAMPLE))}"
        )
    for part in tree.find_all(nodes.Getattr):
        is_of_commit = isinstance(part.node, nodes.Name) and part.node.name == "commit"
        if is_of_commit and part.attr not in COMMIT_NAMES:
            raise ValueError(
                f"the template uses 'commit.{part.attr}', which there is not; a commit has {', '.join(COMMIT_NAMES)}"
            )
    return source


def plain(text: str) -> str:
    """Return `text` as a template that gives it back unchanged."""
    return "{{ " + repr_of(text) + " }}" if any(mark in text for mark in ("{{", "{%", "{#")) else text


def repr_of(text: str) -> Any:
    """Return a string literal as templates write it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
