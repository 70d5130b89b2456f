"""Golden files: what was printed last time, kept beside the tests. `pytest --update-golden` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FLAG = "--update-golden"
VARIABLE = "UPDATE_GOLDEN"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(FLAG, action="store_true", help="write the golden files anew instead of comparing with them")


class Golden:
    def __init__(self, *, is_updating: bool) -> None:
        self._is_updating = is_updating

    def check(self, path: Path, text: str) -> None:
        """Compare with the file, or write it. A file that is missing fails: what is expected must be seen once."""
        if self._is_updating:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path.name} is missing: run with {FLAG} and read what it wrote"
        assert text == path.read_text(encoding="utf-8"), f"differs from {path.name}: run with {FLAG} and read the diff"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    is_asked = bool(request.config.getoption(FLAG, default=False)) or bool(os.environ.get(VARIABLE))
    return Golden(is_updating=is_asked)
