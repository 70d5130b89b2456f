"""The simulator as the process that the demo and the kill tests start."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
import yaml

from fluxtrail.model.errors import ConfigError, UpstreamError
from fluxtrail.simulator.clock import parse_clock
from fluxtrail.simulator.processes import Listeners, SimulatorProcess, request_json, write_settings

pytestmark = pytest.mark.process


async def test_the_process_tells_where_everything_is_and_plays_on_demand(tmp_path: Path) -> None:
    options = ("--changes=2", "--seed=3", "--time-scale=20", "--hold=0.1", f"--directory={tmp_path}")
    async with SimulatorProcess(*options) as simulator:
        description = simulator.description
        assert description["contexts"] == ["prod-eu", "prod-us", "staging"]
        assert parse_clock(description["clock"]).scale == 20
        assert (await simulator.status())["is_begun"] is False
        await simulator.begin()
        async with asyncio.timeout(15):
            await simulator.until_finished()
        truth = await simulator.truth()
        assert len([commit for commit in truth if not commit["is_export"]]) == 2
        assert all(len(commit["deliveries"]) == 11 for commit in truth)
    log = (tmp_path / "truth.jsonl").read_text()
    assert json.loads(log.splitlines()[-1])["kind"] == "script_ends"
    with pytest.raises(UpstreamError, match="does not answer"):
        await simulator.status()


async def test_the_control_address_makes_trouble_on_demand(tmp_path: Path) -> None:
    async with SimulatorProcess("--changes=1", f"--directory={tmp_path}") as simulator:
        control, github = simulator.description["control"], simulator.description["github"]
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{control}/faults/github", json={"status": 500}) as answer:
                assert answer.status == 200
            async with session.get(f"{github}/repos/acme/shop/pulls/1") as answer:
                assert answer.status == 500
            async with session.get(f"{github}/repos/acme/shop/pulls/1") as answer:
                assert answer.status == 404
            async with session.post(f"{control}/faults/github", json={"state": 500}) as answer:
                assert answer.status == 400
            async with session.post(f"{control}/faults/network", json={"cluster": "x", "is_down": True}) as answer:
                assert answer.status == 404
                assert "prod-eu" in await answer.text()
        await request_json("POST", f"{control}/poke")


async def test_a_simulator_that_cannot_start_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="ended before it was ready"):
        async with SimulatorProcess("--time-scale=0"):
            pass


def test_the_settings_name_what_the_world_described(tmp_path: Path) -> None:
    description = {
        "kubeconfig": "/world/kubeconfig",
        "contexts": ["one", "two"],
        "repositories": {"acme/shop": "file:///shop.git", "acme/manifests": "file:///manifests.git"},
        "github": "http://127.0.0.1:1",
    }
    listeners = Listeners("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:9").with_ports()
    write_settings(tmp_path / "fluxtrail.yaml", description, listeners=listeners)
    settings = yaml.safe_load((tmp_path / "fluxtrail.yaml").read_text())
    assert settings["kube_contexts"] == ["one", "two"]
    assert settings["repositories"][0]["exports_to"] == ["file:///manifests.git"]
    assert settings["repositories"][1]["forge"] == {"kind": "github", "owner": "acme", "repo": "manifests"}
    assert settings["git"]["allow_file_protocol"] is True
    assert settings["health"]["listen"] == "127.0.0.1:9"
    assert not settings["api"]["listen"].endswith(":0")


@pytest.mark.parametrize("address", ["8080", "localhost", "localhost:http"])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is not host:port"):
        Listeners(api=address).with_ports()
