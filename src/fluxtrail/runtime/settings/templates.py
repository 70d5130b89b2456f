"""The texts of routes, checked when the settings are read. What they may use is in `reports/standings/words.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxtrail.model.errors import ConfigError, WireError

_LASTING = frozenset({"commit", "environment"})


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

    from fluxtrail.reports.standings.words import bare_values  # noqa: PLC0415
    from fluxtrail.reports.templates import Text  # noqa: PLC0415

    bare = bare_values()
    example = {name: value for name, value in template_values().items() if is_of_all or name != "environments"}
    try:
        text = Text(source, example=example, subject="template")
        text.fill({**bare, "environments": [bare]} if is_of_all else bare)
        tree = Environment(autoescape=True).parse(source)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc
    except WireError as exc:
        raise ValueError(
            f"{exc.message}: it fails where a commit has no pull request, or nothing to do; write it for that too"
        ) from exc
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


def check_lasting(source: str) -> str:
    """Return `source`, a template whose text stays the same while a commit is under way.

    Raises:
        ValueError: it uses what changes: what was written under the old text would stay pending for ever.
    """
    from jinja2 import Environment, meta  # noqa: PLC0415 - only where there are templates

    changing = sorted(meta.find_undeclared_variables(Environment(autoescape=True).parse(source)) - _LASTING)
    if changing:
        raise ValueError(
            f"uses {changing[0]!r}, which changes while a commit is under way: its status would stay pending under the "
            f"old name; use {' and '.join(sorted(_LASTING))}"
        )
    return source


def plain(text: str) -> str:
    """Return `text` as a template that gives it back unchanged."""
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{{{ "{quoted}" }}}}'
