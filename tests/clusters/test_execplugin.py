from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.clusters.scripted import FakeClock

from fluxtrail.clusters.authentication import ExecCredentials
from fluxtrail.clusters.endpoint import Endpoint, ExecPlugin, Pem, Secret
from fluxtrail.clusters.execplugin import ExecPluginRunner
from fluxtrail.model.errors import AuthError

V1 = "client.authentication.k8s.io/v1"


def printing(status: str) -> str:
    answer = f'{{"kind":"ExecCredential","apiVersion":"{V1}","status":{status}}}'
    return f"print({answer!r})"


class Plugin:
    """A plugin in Python: it writes down how it was called, then does what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "plugin.py"
        self.calls = folder / "calls"
        self.clock = FakeClock()

    def write(self, action: str) -> None:
        self.script.write_text(
            "import json, os, sys, time\n"
            f"with open({str(self.calls)!r}, 'a') as calls:\n"
            "    record = {'info': json.loads(os.environ['KUBERNETES_EXEC_INFO']), 'argv': sys.argv[1:],\n"
            "              'a': os.environ.get('A'), 'stdin': sys.stdin.read()}\n"
            "    calls.write(json.dumps(record) + '\\n')\n"
            "number = len(open(calls.name).readlines())\n" + action
        )

    def say(self, **status: Any) -> None:
        answer = {"apiVersion": V1, "kind": "ExecCredential", "status": status}
        self.write(f"print({json.dumps(answer)!r}.replace('NUMBER', str(number)))")

    @property
    def called(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []

    def runner(self, *, timeout_seconds: float = 10.0, **changes: Any) -> ExecPluginRunner:
        settings: dict[str, Any] = {
            "subject": "config: users[u].user.exec",
            "command": sys.executable,
            "arguments": (str(self.script), "--flag"),
            "environment": (("A", Secret("the-secret-of-a")),),
            "install_hint": "brew install it",
        }
        endpoint = Endpoint(
            name="x", server="https://host", authority=Pem(subject="ca", data=b"PEM"), tls_server_name="inner"
        )
        plugin = ExecPlugin(**(settings | changes))
        environ = {"PATH": os.environ["PATH"]}
        return ExecPluginRunner(plugin, endpoint, self.clock, timeout_seconds=timeout_seconds, environ=environ)


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


async def test_token_is_kept_until_it_expires(plugin: Plugin) -> None:
    expires_at = plugin.clock.now() + timedelta(seconds=100)
    plugin.say(token="t-NUMBER", expirationTimestamp=expires_at.isoformat().replace("+00:00", "Z"))
    source = ExecCredentials(plugin.runner())
    first = await source.current()
    plugin.clock.advance(80)
    assert await source.current() == first
    plugin.clock.advance(11)
    second = await source.current()
    assert [each.authorization for each in (first, second)] == [Secret("Bearer t-1"), Secret("Bearer t-2")]


async def test_token_without_expiry_is_kept_until_it_is_refused(plugin: Plugin) -> None:
    plugin.say(token="t-NUMBER")
    source = ExecCredentials(plugin.runner())
    rejected = await source.current()
    plugin.clock.advance(10**6)
    assert await source.current() == rejected
    assert await asyncio.gather(*(source.refresh(rejected) for _ in range(5))) == [True] * 5
    assert len(plugin.called) == 2


async def test_plugin_is_told_what_it_needs_and_gets_no_terminal(plugin: Plugin) -> None:
    plugin.say(token="t")
    runner = plugin.runner(provides_cluster_info=True, cluster_config={"audience": "y"})
    await runner.obtain()
    (call,) = plugin.called
    assert (call["argv"], call["a"], call["stdin"]) == (["--flag"], "the-secret-of-a", "")
    assert call["info"] == {
        "kind": "ExecCredential",
        "apiVersion": V1,
        "spec": {
            "interactive": False,
            "cluster": {
                "server": "https://host",
                "tls-server-name": "inner",
                "certificate-authority-data": "UEVN",
                "config": {"audience": "y"},
            },
        },
    }


async def test_client_certificate_is_taken(plugin: Plugin) -> None:
    plugin.say(clientCertificateData="CERT", clientKeyData="KEY")
    credential = await ExecCredentials(plugin.runner()).current()
    assert credential.authorization is None
    assert credential.certificate is not None
    assert (credential.certificate.certificate, credential.certificate.key) == (b"CERT", b"KEY")
    assert "KEY" not in repr(credential)


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ("sys.exit('token=hunter2222 is the-secret-of-a')", "failed with code 1"),
        ("print('no json hunter2222')", "printed no ExecCredential"),
        ("print('[]')", "printed no ExecCredential"),
        ('print(\'{"kind":"ExecCredential","apiVersion":"v2","status":{"token":"t"}}\')', "printed v2 ExecCredential"),
        (printing("null"), "neither token nor"),
        (printing('{"clientKeyData":"K"}'), "neither token nor"),
        (printing('{"clientCertificateData":"C"}'), "together"),
        ("time.sleep(60)", "gave no answer within 0.7 s"),
        ("os.fork() or time.sleep(60)", "gave no answer within 0.7 s"),
    ],
)
async def test_plugin_that_fails_is_an_error_without_its_secrets(plugin: Plugin, action: str, complaint: str) -> None:
    plugin.write(action)
    with pytest.raises(AuthError) as caught:
        await plugin.runner(timeout_seconds=0.7 if "sleep" in action else 10.0).obtain()
    assert complaint in str(caught.value)
    assert caught.value.retryable
    for secret in ("hunter2222", "the-secret-of-a"):
        assert secret not in str(caught.value)


async def test_plugin_that_is_missing_gives_the_install_hint(plugin: Plugin) -> None:
    with pytest.raises(AuthError, match="brew install it"):
        await plugin.runner(command="no-such-plugin-anywhere").obtain()


async def test_failure_is_remembered_for_a_moment(plugin: Plugin) -> None:
    plugin.write("sys.exit(3)")
    runner = plugin.runner()
    for _ in range(3):
        with pytest.raises(AuthError, match="code 3"):
            await runner.obtain()
    assert len(plugin.called) == 1
    plugin.clock.advance(6)
    plugin.say(token="t")
    assert (await runner.obtain())[0] == Secret("t")


async def test_concurrent_callers_share_one_run(plugin: Plugin) -> None:
    plugin.say(token="t")
    runner = plugin.runner()
    await asyncio.gather(*(runner.obtain() for _ in range(5)))
    assert len(plugin.called) == 1


async def test_chatty_plugin_does_not_block(plugin: Plugin) -> None:
    plugin.write("sys.stderr.write('x' * 3_000_000); sys.stderr.flush(); sys.exit(1)")
    with pytest.raises(AuthError) as caught:
        await plugin.runner().obtain()
    assert len(str(caught.value)) < 1500


async def test_token_that_no_header_may_hold_is_refused(plugin: Plugin) -> None:
    plugin.say(token="a\nX-Other: b")
    with pytest.raises(AuthError, match="no HTTP header may hold"):
        await ExecCredentials(plugin.runner()).current()
