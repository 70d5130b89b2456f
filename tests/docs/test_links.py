from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.pages import PAGES, ROOT, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_UNFINISHED = re.compile(rf"\b(?:{'|'.join(('TO' + 'DO', 'FIX' + 'ME', 'TBD', 'XXX'))})\b")


def anchor_of(heading: str) -> str:
    """The anchor that forges give a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {anchor_of(heading) for heading in _HEADING.findall(prose(path.read_text(encoding="utf-8")))}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name if path.parent != ROOT else f"/{path.name}")
def test_relative_links_lead_to_a_file_and_a_heading(path: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(path.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.is_file() or (anchor and anchor not in anchors(there)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name if path.parent != ROOT else f"/{path.name}")
def test_no_line_is_unfinished(path: Path) -> None:
    assert not [line for line in path.read_text(encoding="utf-8").splitlines() if _UNFINISHED.search(line)]


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {link.partition("#")[0] for link in _LINK.findall(index)}
    pages = {path.name for path in PAGES if path.parent == ROOT / "docs" and path.name != "README.md"}
    assert pages <= linked


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Scope: which targets a commit concerns", "scope-which-targets-a-commit-concerns"),
        ("From Flux's reason to an outcome", "from-fluxs-reason-to-an-outcome"),
        ("`runtime_namespace`", "runtime_namespace"),
    ],
)
def test_anchors_are_made_as_forges_make_them(heading: str, anchor: str) -> None:
    assert anchor_of(heading) == anchor
