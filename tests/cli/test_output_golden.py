from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Invoke
from tests.cli.golden import Golden
from tests.web.worlds import EVERYWHERE, FAILED, ON_ITS_WAY

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = {
    "trace_on_its_way": ["trace", ON_ITS_WAY[:8], "--utc"],
    "trace_failed": ["trace", FAILED, "--utc"],
    "trace_everywhere_wide": ["trace", EVERYWHERE, "--utc", "-o", "wide"],
    "trace_json": ["trace", ON_ITS_WAY, "-o", "json"],
    "trace_yaml": ["trace", FAILED, "-o", "yaml"],
    "get_commits": ["get", "commits"],
    "get_deliveries": ["get", "deliveries"],
    "get_deliveries_wide": ["get", "deliveries", "-o", "wide"],
    "get_targets": ["get", "targets", "-A"],
    "get_targets_name": ["get", "targets", "-o", "name"],
    "get_clusters": ["get", "clusters"],
    "get_clusters_json": ["get", "clusters", "-o", "json"],
    "records_list": ["records", "list"],
    "records_list_wide": ["records", "list", "-o", "wide"],
    "records_list_name": ["records", "list", "-o", "name"],
    "records_list_json": ["records", "list", "--told", "unknown", "-o", "json"],
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_output_is_as_it_was(invoke: Invoke, golden: Golden, name: str) -> None:
    result = await invoke(*COMMANDS[name])
    assert result.exit_code == 0, result.output
    golden.check(GOLDEN / f"{name}.txt", result.stdout)


@pytest.mark.parametrize("name", ["trace_on_its_way", "get_targets", "records_list"])
@pytest.mark.parametrize("columns", ["40", "120"])
async def test_output_fits_other_widths(invoke: Invoke, golden: Golden, name: str, columns: str) -> None:
    result = await invoke(*COMMANDS[name], COLUMNS=columns)
    golden.check(GOLDEN / f"{name}_{columns}.txt", result.stdout)


async def test_colours_are_as_they_were(invoke: Invoke, golden: Golden) -> None:
    result = await invoke(*COMMANDS["trace_on_its_way"], NO_COLOR=None, FORCE_COLOR="1")
    golden.check(GOLDEN / "trace_on_its_way_colored.txt", result.stdout)


@pytest.mark.parametrize("name", ["trace_on_its_way", "trace_failed", "trace_everywhere_wide"])
@pytest.mark.parametrize("columns", ["40", "80", "120"])
async def test_a_picture_is_no_wider_than_the_terminal(invoke: Invoke, name: str, columns: str) -> None:
    result = await invoke(*COMMANDS[name], COLUMNS=columns)
    assert max(len(line) for line in result.stdout.splitlines()) <= int(columns)


async def test_colours_never_change_the_text(invoke: Invoke) -> None:
    from click import unstyle

    plain = await invoke(*COMMANDS["trace_on_its_way"])
    colored = await invoke(*COMMANDS["trace_on_its_way"], NO_COLOR=None, FORCE_COLOR="1")
    assert "\x1b[" in colored.stdout
    assert unstyle(colored.stdout) == plain.stdout
