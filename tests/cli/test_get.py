from __future__ import annotations

import json

import msgspec
import pytest
from tests.cli.conftest import Invoke
from tests.web.worlds import ON_ITS_WAY, World, commit

from fluxtrail.model.views import TrailView


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["commits"], 5),
        (["commits", "--verdict", "failed"], 1),
        (["commits", "--repository", "github.com/acme/other"], 0),
        (["commits", "--since", "25m"], 3),
        (["commits", "--since", "9999d"], 5),
        (["commits", "--author", "nobody"], 0),
        (["commits", "--no-carriers", "--branch", "main"], 5),
        (["commits", "--limit", "2"], 2),
        (["deliveries", "--cluster", "prod-us"], 3),
        (["deliveries", "--sha", ON_ITS_WAY[:7], "--target", "apps"], 3),
        (["deliveries", "-n", "default"], 0),
        (["deliveries", "-n", "flux-system", "--limit", "0"], 9),
        (["targets", "--target", "infra"], 1),
        (["targets", "-A"], 4),
        (["clusters"], 3),
    ],
)
async def test_lists_are_narrowed(invoke: Invoke, arguments: list[str], count: int) -> None:
    result = await invoke("get", *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["items"]) == count


async def test_cursors_are_followed(invoke: Invoke, world: World) -> None:
    for number in range(2500):
        sha = f"{number:040x}"
        world.trails[sha] = TrailView(commit=commit(sha, "many", number), queried=sha)
    result = await invoke("get", "commits", "--limit", "0", "-o", "name")
    assert len(set(result.stdout.splitlines())) == 2505
    assert len((await invoke("get", "commits", "--limit", "1500", "-o", "name")).stdout.splitlines()) == 1500


async def test_no_header_and_nothing_found(invoke: Invoke) -> None:
    with_header, without = await invoke("get", "clusters"), await invoke("get", "clusters", "--no-header")
    rows = [line.split() for line in with_header.stdout.splitlines()]
    assert rows[1:] == [line.split() for line in without.stdout.splitlines()]
    nothing = await invoke("get", "targets", "-n", "default")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "No targets found.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "targets", "-n", "a", "-A"],
        ["get", "commits", "--verdict", "nice"],
        ["get", "commits", "--since", "yesterday"],
        ["get", "commits", "-o", "xml"],
        ["get", "nothing"],
        ["nothing"],
        ["--context", "prod", "get", "clusters"],
        ["--server", "ftp://host", "get", "clusters"],
        ["--server", "http://host:port", "get", "clusters"],
        ["--token-file", "/does/not/exist", "get", "clusters"],
        ["db", "upgrade", "--ledger", "/does/not/exist.sqlite"],
    ],
)
async def test_usage_errors_exit_with_2(invoke: Invoke, arguments: list[str]) -> None:
    result = await invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


async def test_hostile_text_cannot_steer_the_terminal(invoke: Invoke, world: World) -> None:
    trail = world.trails[ON_ITS_WAY]
    evil = msgspec.structs.replace(trail.commit, subject="a\x1b]0;owned\x07b\nc\u202e", author="x\x9b31m")
    world.trails[ON_ITS_WAY] = msgspec.structs.replace(trail, commit=evil)
    for arguments in (["get", "commits", "-o", "wide"], ["trace", ON_ITS_WAY]):
        result = await invoke(*arguments)
        assert result.exit_code == 0
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(result.stdout)


async def test_a_trace_of_one_cluster_and_target(invoke: Invoke) -> None:
    result = await invoke("trace", ON_ITS_WAY, "--cluster", "staging", "--target", "flux-system/apps", "-o", "json")
    assert [d["cluster"] for d in json.loads(result.stdout)["deliveries"]] == ["staging"]


@pytest.mark.parametrize("query", ["#12", "acme/shop#12"])
async def test_a_trace_by_pull_request(invoke: Invoke, query: str) -> None:
    assert (await invoke("trace", query, "-o", "name")).stdout == f"commit/{ON_ITS_WAY}\n"


async def test_an_unknown_commit_fails(invoke: Invoke) -> None:
    result = await invoke("trace", "deadbeef")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "deadbeef" in result.stderr


async def test_an_ambiguous_prefix_lists_candidates(invoke: Invoke) -> None:
    result = await invoke("trace", "c0ff")
    assert result.exit_code == 2
    assert result.stderr.count("github.com/acme/shop") == 2
    assert "Give more of it" in result.stderr


async def test_versions_of_client_and_server(invoke: Invoke) -> None:
    versions = json.loads((await invoke("version", "-o", "json")).stdout)
    assert versions["server"] == {"version": "0.1.0", "instance": "2f0c1c1e"}
    alone = await invoke("version", FLUXTRAIL_SERVER="http://127.0.0.1:1")
    assert (alone.exit_code, alone.stdout.startswith("client: ")) == (0, True)
    assert "nobody listens there" in alone.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_scripts(invoke: Invoke, shell: str) -> None:
    result = await invoke("completion", shell)
    assert result.exit_code == 0
    assert "_FLUXTRAIL_COMPLETE" in result.stdout
