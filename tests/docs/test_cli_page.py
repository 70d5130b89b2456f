from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from tests.docs.pages import ROOT, blocks, page

from fluxtrail.cli.main import cli


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that can be called, by the words it is called with."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
def test_every_command_has_its_place_in_the_page(words: tuple[str, ...]) -> None:
    assert f"fluxtrail {' '.join(words)}" in page("cli.md")


def test_the_picture_in_the_readme_is_what_trace_prints() -> None:
    (picture,) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "console")
    printed = (ROOT / "tests" / "cli" / "golden" / "trace_on_its_way.txt").read_text(encoding="utf-8").splitlines()
    command, *lines = picture.splitlines()
    assert command == f"$ fluxtrail trace {lines[0].split()[0]}"
    assert set(lines) <= set(printed)
