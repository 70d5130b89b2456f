"""The simulator as the process that the demo and the kill tests start."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
import yaml

from fluxtrail.model.errors import ConfigError, UpstreamError
from fluxtrail.model.notices import Hook
from fluxtrail.runtime.settings.records import destinations
from fluxtrail.runtime.settings.settings import load_settings
from fluxtrail.simulator.clock import parse_clock
from fluxtrail.simulator.forges.settings import ENVIRONMENTS, read_hook_secret
from fluxtrail.simulator.processes import Listeners, SimulatorProcess, request_json, write_settings
from fluxtrail.simulator.recording import until_told
from fluxtrail.simulator.telling import until_said

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
        assert all(len(commit["deliveries"]) == 19 for commit in truth)
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


async def test_workloads_are_troubled_and_scaled_from_outside(tmp_path: Path) -> None:
    async with SimulatorProcess("--changes=1", "--time-scale=20", f"--directory={tmp_path}") as simulator:
        control = simulator.description["control"]
        cart = {"cluster": "staging", "namespace": "shop", "workload": "cart"}
        await request_json("POST", f"{control}/workloads/trouble", body=cart | {"trouble": "unschedulable"})
        for replicas in (2, 3):
            await request_json("POST", f"{control}/workloads/scale", body=cart | {"replicas": replicas})
        log = tmp_path / "truth.jsonl"
        scaled = '"workload": "Deployment/shop/cart", "generation": 3'
        assert scaled not in log.read_text()
        await request_json("POST", f"{control}/workloads/trouble", body=cart | {"trouble": None})
        async with asyncio.timeout(15):
            while scaled not in log.read_text():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.02)
        for path, body, status in (
            ("trouble", cart | {"trouble": "gloom"}, 400),
            ("scale", cart, 400),
            ("scale", cart | {"replicas": 1, "cluster": "x"}, 404),
            ("scale", cart | {"replicas": 1, "workload": "x"}, 404),
        ):
            with pytest.raises(UpstreamError, match=str(status)):
                await request_json("POST", f"{control}/workloads/{path}", body=body)


async def test_records_and_their_trouble_are_in_reach_from_outside(tmp_path: Path) -> None:
    options = ("--changes=1", "--deployment-records", "--time-scale=20", f"--directory={tmp_path}")
    async with SimulatorProcess(*options) as simulator:
        given = simulator.description["deployment_records"]
        assert given["organization"] == "acme"
        truth = await simulator.records_truth()
        true = next(row for row in truth["records"] if row["deployment_name"] == "shop/cart/cart")
        url = f"{simulator.description['github']}/orgs/acme/artifacts/metadata/deployment-record"
        body = {key: value for key, value in true.items() if key != "is_attested"}
        body |= {"name": "registry.example/cart", "logical_environment": "production"}
        headers = {"Authorization": f"Bearer {given['token']}"}
        await simulator.fail_records(action="status", status=503, count=1)
        await simulator.attest(unattested=[true["digest"]])
        answers = []
        async with aiohttp.ClientSession(headers=headers) as session:
            for attested in ((), (), (true["digest"],)):
                await simulator.attest(attested=attested)
                async with session.post(url, json=body) as answer:
                    answers.append(answer.status)
        assert answers == [503, 404, 200]
        held = await simulator.records()
        assert held["counts"] == {"single": {"200": 1, "404": 1, "503": 1}}
        assert [record["deployment_name"] for record in held["records"]] == ["shop/cart/cart"]
        assert len((await simulator.records_truth())["differences"]) == len(truth["differences"]) - 1
        with pytest.raises(UpstreamError, match="400"):
            await simulator.fail_records(action="explode")
        with pytest.raises(UpstreamError, match="does not hold what runs"):
            await until_told(simulator, patience_seconds=0)


async def test_forges_of_the_world_are_asked_and_troubled_from_outside() -> None:
    async with SimulatorProcess("--changes=1", "--time-scale=20") as simulator:
        described = simulator.description["forges"]
        assert [item["name"] for item in described["environments"]] == ["staging", "production"]
        assert described["repositories"] == ["acme/shop", "acme/assistant"]
        await simulator.trust(tokens={"gitea": "key"}, webhooks={"ours": "secret"})
        await simulator.fail_forges(action="status", status=503, count=1, systems=["github"])
        sha, body = "a" * 40, {"state": "success", "context": "fluxtrail/staging"}
        base = simulator.description["github"]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {described['token']}"}) as session:
            paths = [f"/repos/acme/shop/statuses/{sha}"] * 2
            paths += [f"/gitea/api/v1/repos/acme/shop/statuses/{sha}", "/webhooks/ours", "/webhooks/theirs"]
            answers = []
            for path in paths:
                async with session.post(base + path, json=body) as answer:
                    answers.append(answer.status)
        # Nobody has that commit, and neither of the secrets was shown.
        assert answers == [503, 422, 401, 401, 200]
        report = await simulator.forges()
        assert report["calls"]["github"] == {"status": {"422": 1, "503": 1}}
        assert report["violations"] == {"total": 1, "by_kind": {"webhook signature": 1}}
        assert [(write["system"], write["state"]) for write in await simulator.writes()] == [("webhook", "success")]
        assert await simulator.writes(after=1) == []
        assert await simulator.statuses_differences() == []
        with pytest.raises(UpstreamError, match="400"):
            await simulator.fail_forges(action="explode")
        await until_said(simulator, patience_seconds=0)


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
    assert "deployment_records" not in settings
    assert "images" not in settings
    assert "doctor" not in settings
    assert not settings["api"]["listen"].endswith(":0")


def test_the_settings_of_a_world_with_pods_tell_github_of_them(tmp_path: Path) -> None:
    description = {
        "kubeconfig": "/world/kubeconfig",
        "contexts": ["one", "two"],
        "repositories": {"acme/shop": "file:///shop.git", "acme/manifests": "file:///manifests.git"},
        "github": "http://127.0.0.1:1",
        "deployment_records": {"organization": "acme", "token": "secret"},
    }
    write_settings(tmp_path / "fluxtrail.yaml", description, listeners=Listeners().with_ports())
    setting = load_settings(path=tmp_path / "fluxtrail.yaml", flags={}, environ={}).deployment_records
    assert setting.enabled
    assert {name: d.text for name, d in destinations(setting, ["one", "two"]).items()} == {
        "one": "acme/production//one",
        "two": "acme/production//two",
    }
    assert setting.token_file is not None
    assert setting.token_file.read_text() == "secret"
    assert setting.token_file.stat().st_mode & 0o777 == 0o600


def test_the_settings_of_a_world_with_forges_tell_them_how_commits_stand(tmp_path: Path) -> None:
    description = {
        "kubeconfig": "/world/kubeconfig",
        "contexts": ["one"],
        "repositories": {"acme/shop": "file:///acme/shop.git", "acme/manifests": "file:///acme/manifests.git"},
        "github": "http://127.0.0.1:1",
        "forges": {"token": "key", "environments": list(ENVIRONMENTS), "repositories": ["acme/shop"]},
    }
    listeners = Listeners(hooks="127.0.0.1:0").with_ports()
    write_settings(tmp_path / "fluxtrail.yaml", description, listeners=listeners, has_routes=True, has_doctor=True)
    settings = load_settings(path=tmp_path / "fluxtrail.yaml", flags={}, environ={})
    assert settings.doctor.enabled
    assert settings.doctor.act
    [route] = settings.routes
    assert (route.to.value, route.repositories) == ("github_status", ("*/acme/shop",))
    assert [item.name for item in settings.environments] == ["staging", "production"]
    assert settings.public_url == f"http://{listeners.api}"
    assert settings.hooks.listen == listeners.hooks
    assert not listeners.hooks.endswith(":0")
    assert settings.hooks.gitopsphase.anonymous
    [sender] = settings.hooks.senders
    assert (sender.name, sender.hooks) == ("github", (Hook.GITHUB,))
    assert sender.secret_file is not None
    assert sender.secret_file.read_text() == read_hook_secret(tmp_path)
    assert len(read_hook_secret(tmp_path)) >= 32
    for secret in (tmp_path / "forge-token", sender.secret_file):
        assert secret.stat().st_mode & 0o777 == 0o600


def test_the_settings_of_a_world_with_images_follow_the_application_and_ask_its_registry(tmp_path: Path) -> None:
    names = ("acme/shop", "acme/manifests", "acme/assistant")
    description = {
        "kubeconfig": "/world/kubeconfig",
        "contexts": ["one"],
        "repositories": {name: f"file:///{name}.git" for name in names},
        "github": "http://127.0.0.1:1",
        "registry": "127.0.0.1:5000",
    }
    write_settings(tmp_path / "fluxtrail.yaml", description, listeners=Listeners().with_ports())
    settings = load_settings(path=tmp_path / "fluxtrail.yaml", flags={}, environ={})
    assert settings.images.insecure_registries == ("127.0.0.1:5000",)
    assert [repository.url for repository in settings.repositories] == [f"file:///{name}.git" for name in names]


@pytest.mark.parametrize("address", ["8080", "localhost", "localhost:http"])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is not host:port"):
        Listeners(api=address).with_ports()
