"""The texts of routes, checked when the settings are read. What they may use is in `reports/standings/words.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxtrail.model.errors import ConfigError


def template_values() -> Mapping[str, Any]:
    """Return every name that a template may use, with a value of the right kind.

    `environments`, the same names of each environment, is there where one message tells of all of them.
    """
    from fluxtrail.reports.standings.words import example_values  # noqa: PLC0415 - only where there are templates

    return {**example_values(), "environments": [example_values()]}


def check_template(source: str, *, is_of_all: bool) -> str:
    """Return `source`, a template that can be used.

    Names are looked for in branches that the example does not take, too: what is only said of a failure must not fail
    then.

    Args:
        is_of_all: one text tells of all environments of a commit.

    Raises:
        ValueError: it cannot be read, or asks for what there is not; the message says what there is.
    """
    from jinja2 import Environment, TemplateError, meta, nodes  # noqa: PLC0415 - only where there are templates

    from fluxtrail.reports.templates import Text  # noqa: PLC0415

    example = {name: value for name, value in template_values().items() if is_of_all or name != "environments"}
    try:
        Text(source, example=example, subject="template")
        tree = Environment(autoescape=True).parse(source)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc
    except TemplateError as exc:
        raise ValueError(f"the template cannot be read: {exc}") from exc
    unknown = sorted(meta.find_undeclared_variables(tree) - set(example))
    if unknown:
        raise ValueError(
            f"the template uses {unknown[0]!r}, which there is not; names are {', '.join(sorted(example))}"
        )
    for part in tree.find_all(nodes.Getattr):
        is_of_commit = isinstance(part.node, nodes.Name) and part.node.name == "commit"
        if is_of_commit and part.attr not in example["commit"]:
            known = ", ".join(example["commit"])
            raise ValueError(f"the template uses 'commit.{part.attr}', which there is not; a commit has {known}")
    return source


def plain(text: str) -> str:
    """Return `text` as a template that gives it back unchanged."""
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{{{ "{quoted}" }}}}'
