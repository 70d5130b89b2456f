"""The page for users of Spektate: every defect and every case of its tests has a row, and each row names its tests.

That the tests are there is checked with all other references to code.
"""

from __future__ import annotations

import re

import pytest
from tests.docs.pages import page, table, tables

from fluxtrail.cli.ci_rows import COLUMNS
from fluxtrail.web.spektate.app import _COLUMNS

PAGE = page("migrate-from-spektate.md")
_TEST = re.compile(r"`tests/[a-z_/]+\.py:test_\w+`")


@pytest.mark.parametrize("number", range(1, 15))
def test_every_defect_is_shown_to_be_gone(number: int) -> None:
    [row] = [cells for rows in tables(PAGE) for cells in rows if cells[0] == str(number)]
    assert _TEST.search(row[-1])


@pytest.mark.parametrize("header", ["case", "request"])
def test_every_row_names_its_tests(header: str) -> None:
    rows = table(PAGE, header)
    assert len(rows) >= 7
    assert [row[0] for row in rows if not _TEST.search(row[-1])] == []


@pytest.mark.parametrize("name", [*COLUMNS, *_COLUMNS])
def test_every_column_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE
