"""The documentation and the code as text: what the tests in this folder compare."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fluxtrail"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """What stands in backticks."""
    return _SPAN.findall(text)


def tables(text: str) -> Iterator[list[list[str]]]:
    """Each table as rows of cells, the header first and the ruler left out."""
    rows: list[list[str]] = []
    for line in [*prose(text).splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                rows.append(cells)
        elif rows:
            yield rows
            rows = []


def table(text: str, first_header: str) -> list[list[str]]:
    """The rows, without header, of the one table whose first column has this header."""
    found = [rows[1:] for rows in tables(text) if rows[0][0] == first_header]
    assert len(found) == 1, f"{len(found)} tables begin with {first_header!r}"
    return found[0]


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in found]


@cache
def module(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(*folders: str, near: str = "") -> Iterator[ast.Module]:
    """The modules of some of the package's folders, or of all; those alone in whose text `near` stands."""
    for folder in folders or ("",):
        for path in sorted((SOURCE / folder).rglob("*.py")):
            if not near or near in path.read_text(encoding="utf-8"):
                yield module(path)


@cache
def strings(*folders: str, near: str = "") -> frozenset[str]:
    """Every piece of literal text in the code, pieces of f-strings too."""
    return frozenset(
        node.value
        for tree in modules(*folders, near=near)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
