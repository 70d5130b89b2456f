"""YAML as people write it: texts of several lines as blocks, keys in the order they were given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import yaml

Json: TypeAlias = dict[str, Any]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write what occurs twice in full, both times."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def yaml_text(documents: Iterable[Json]) -> str:
    """Return the documents one below the other, `---` between them."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
