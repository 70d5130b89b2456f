"""What the pages say about the code (files, names, messages, log events) is found in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from tests.docs.pages import PAGES, ROOT, SOURCE, module, page, spans, strings, tables

_REFERENCE = re.compile(r"(?P<file>[a-z_0-9]+(?:/[a-z_0-9]+)*\.py)(?::(?P<name>[A-Za-z_.0-9]+))?")
_FROM_A_LIBRARY = {"error parsing value for field"}
"""Said by pydantic-settings."""

REFERENCES = sorted(
    {
        span
        for path in PAGES
        for span in spans(path.read_text(encoding="utf-8"))
        if (match := _REFERENCE.fullmatch(span)) and "/" in match["file"]
    }
)


def has_name(tree: ast.AST, dotted: str) -> bool:
    first, _, rest = dotted.partition(".")
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == first:
            return has_name(node, rest) if rest else True
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if not rest and any(isinstance(target, ast.Name) and target.id == first for target in targets):
            return True
    return False


@pytest.mark.parametrize("reference", REFERENCES)
def test_files_and_names_exist(reference: str) -> None:
    match = _REFERENCE.fullmatch(reference)
    assert match is not None
    found = [root / match["file"] for root in (SOURCE, ROOT) if (root / match["file"]).is_file()]
    assert found, "no such file"
    if match["name"]:
        assert has_name(module(found[0]), match["name"]), f"no {match['name']} in {match['file']}"


def test_a_name_that_does_not_exist_is_noticed() -> None:
    tree = module(SOURCE / "trail" / "judge.py")
    assert has_name(tree, "judge")
    assert not has_name(tree, "no_such_function")


def test_every_folder_of_the_house_is_described() -> None:
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert {f"{folder}/" for folder in folders} <= set(spans(page("architecture.md")))


def fragments() -> Iterator[str]:
    """The literal parts of the messages and events that troubleshooting explains."""
    for rows in tables(page("troubleshooting.md")):
        if rows[0][0] not in ("message", "log event or state"):
            continue
        for row in rows[1:]:
            for span in spans(row[0]):
                yield from (part.strip() for part in span.split("…") if len(part.strip()) > 2)


@pytest.mark.parametrize("fragment", sorted(set(fragments()) - _FROM_A_LIBRARY))
def test_messages_are_those_of_the_code(fragment: str) -> None:
    assert any(fragment in text for text in strings())
