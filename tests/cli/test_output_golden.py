from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.cli.conftest import Invoke
from tests.cli.golden import Golden
from tests.web.runs import AMD, INDEX, ROLLING, rolling
from tests.web.worlds import EVERYWHERE, FAILED, ON_ITS_WAY, World

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
    "get_deliveries_running": ["get", "deliveries", "--sha", ROLLING],
    "get_workloads": ["get", "workloads"],
    "get_workloads_wide": ["get", "workloads", "-o", "wide"],
    "get_workloads_name": ["get", "workloads", "--state", "blocked", "-o", "name"],
    "get_workloads_yaml": ["get", "workloads", "--cause", "image_pull", "-o", "yaml"],
    "get_images": ["get", "images"],
    "get_images_wide": ["get", "images", "-o", "wide"],
    "get_images_name": ["get", "images", "-o", "name"],
    "get_images_json": ["get", "images", "--state", "private", "-o", "json"],
    "trace_rolling": ["trace", ROLLING, "--utc"],
    "trace_rolling_wide": ["trace", ROLLING, "--utc", "-o", "wide"],
    "trace_image": ["trace", INDEX[:13], "--utc"],
    "trace_image_wide": ["trace", AMD, "--utc", "-o", "wide"],
    "trace_image_private": ["trace", "ghcr.io/acme/payments", "--utc"],
    "trace_image_json": ["trace", "sha256:3c3c3c", "-o", "json"],
    "trace_image_name": ["trace", "cart:v1.4.2", "-o", "name"],
    "trace_object": ["trace", "deployment/cart", "-n", "shop", "--utc"],
    "trace_object_wide": ["trace", "deploy", "cart", "-n", "shop", "--cluster", "prod-eu", "--utc", "-o", "wide"],
    "trace_object_name": ["trace", "deploy/shop/cart", "-o", "name"],
    "get_reports": ["get", "reports"],
    "get_reports_wide": ["get", "reports", "-o", "wide"],
    "get_reports_name": ["get", "reports", "--state", "dead", "-o", "name"],
    "get_reports_json": ["get", "reports", "--route", "chat", "-o", "json"],
    "get_routes": ["get", "routes"],
    "get_routes_wide": ["get", "routes", "-o", "wide"],
    "get_routes_yaml": ["get", "routes", "-o", "yaml"],
    "records_list": ["records", "list"],
    "records_list_wide": ["records", "list", "-o", "wide"],
    "records_list_name": ["records", "list", "-o", "name"],
    "records_list_json": ["records", "list", "--told", "unknown", "-o", "json"],
}


WIDE_LISTS = [name for name in COMMANDS if name.endswith("_wide") and not name.startswith("trace")]


@pytest.fixture(autouse=True)
def rolling_out(request: pytest.FixtureRequest, world: World) -> None:
    """A commit on its way to running, for those that ask about it: lists of the others stay as they are."""
    name = request.node.callspec.params.get("name", "") if hasattr(request.node, "callspec") else ""
    if "rolling" in name or "running" in name:
        world.trails[ROLLING] = rolling()


@pytest.mark.parametrize("name", COMMANDS)
async def test_output_is_as_it_was(invoke: Invoke, golden: Golden, name: str) -> None:
    result = await invoke(*COMMANDS[name], **({"COLUMNS": "400"} if name in WIDE_LISTS else {}))
    assert result.exit_code == 0, result.output
    golden.check(GOLDEN / f"{name}.txt", result.stdout)


@pytest.mark.parametrize(
    "name",
    [
        "trace_on_its_way", "get_targets", "records_list", "get_workloads", "get_images", "trace_rolling",
        "trace_image", "trace_object",
    ],
)  # fmt: skip
@pytest.mark.parametrize("columns", ["40", "120"])
async def test_output_fits_other_widths(invoke: Invoke, golden: Golden, name: str, columns: str) -> None:
    result = await invoke(*COMMANDS[name], COLUMNS=columns)
    golden.check(GOLDEN / f"{name}_{columns}.txt", result.stdout)


@pytest.mark.parametrize("name", WIDE_LISTS)
@pytest.mark.parametrize("columns", [80, 110, 160])
async def test_a_wide_list_is_no_wider_than_the_terminal_and_says_what_it_leaves_out(
    invoke: Invoke, name: str, columns: int
) -> None:
    result = await invoke(*COMMANDS[name], COLUMNS=str(columns))
    whole = await invoke(*COMMANDS[name], COLUMNS="400")
    header, *_ = lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) <= columns
    assert len(lines) == len(whole.stdout.splitlines())
    missing = [title for title in re.split(r"\s{2,}", whole.stdout.splitlines()[0]) if title not in header]
    said = re.search(rf"No room here for (.+): {columns} columns are too few", result.stderr)
    assert (said[1].split(", ") if said else []) == missing


async def test_colours_are_as_they_were(invoke: Invoke, golden: Golden) -> None:
    result = await invoke(*COMMANDS["trace_on_its_way"], NO_COLOR=None, FORCE_COLOR="1")
    golden.check(GOLDEN / "trace_on_its_way_colored.txt", result.stdout)


@pytest.mark.parametrize(
    "name",
    [
        "trace_on_its_way", "trace_failed", "trace_everywhere_wide", "trace_rolling", "trace_rolling_wide",
        "trace_image", "trace_image_private", "trace_object",
    ],
)  # fmt: skip
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
