from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluxtrail.clusters.connection import open_connection
from fluxtrail.clusters.endpoint import BasicLogin, BearerToken, BearerTokenFile, Endpoint, ExecPlugin, Pem, Secret
from fluxtrail.clusters.kubeconfig import load_kubeconfig
from fluxtrail.clusters.kubeentries import read_kubefile
from fluxtrail.model.errors import ConfigError

V1 = "client.authentication.k8s.io/v1"


def document(user: Any = None, cluster: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": "c", "cluster": {"server": "https://host:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    } | more


def write(path: Path, content: dict[str, Any] | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def endpoint(folder: Path, content: dict[str, Any] | str, context: str | None = None) -> Endpoint:
    path = write(folder / "config", content)
    return load_kubeconfig({"KUBECONFIG": str(path)}).endpoint(context)


def test_default_file_is_in_the_home_folder(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", document())
    assert load_kubeconfig({"HOME": str(tmp_path)}).endpoint().server == "https://host:6443"


def test_first_file_wins_per_name_and_current_context_is_the_first_set(tmp_path: Path) -> None:
    first = document(cluster={"server": "https://first"}, **{"current-context": ""})
    second = document(cluster={"server": "https://second"}, **{"current-context": "y"})
    second["contexts"].append({"name": "y", "context": {"cluster": "c", "user": "u", "namespace": "team"}})
    paths = [write(tmp_path / name, content) for name, content in (("1", first), ("2", second))]
    environ = {"KUBECONFIG": f"{paths[0]}::{tmp_path / 'missing'}:{paths[1]}:{paths[0]}"}
    config = load_kubeconfig(environ)
    assert config.contexts == ("x", "y")
    assert config.current_context == "y"
    found = config.endpoint()
    assert (found.name, found.server, found.namespace) == ("y", "https://first", "team")


def test_relative_paths_are_relative_to_their_own_file(tmp_path: Path) -> None:
    contexts = write(tmp_path / "a" / "config", {"contexts": document()["contexts"], "current-context": "x"})
    user = {"client-certificate": "me.crt", "client-key": "/abs/me.key", "tokenFile": "../token"}
    users = document(user, {"certificate-authority": "ca/ca.crt"}, contexts=None)
    rest = write(tmp_path / "b" / "config", users)
    found = load_kubeconfig({"KUBECONFIG": f"{contexts}:{rest}"}).endpoint()
    assert found.authority is not None
    assert found.authority.path == tmp_path / "b" / "ca" / "ca.crt"
    assert found.certificate is not None
    assert found.certificate.path == tmp_path / "b" / "me.crt"
    assert found.key is not None
    assert found.key.path == Path("/abs/me.key")
    assert isinstance(found.login, BearerTokenFile)
    assert found.login.path.resolve() == (tmp_path / "token").resolve()


def test_everything_about_a_cluster_is_read(tmp_path: Path) -> None:
    cluster = {
        "server": "https://host/k8s/clusters/c-1/",
        "insecure-skip-tls-verify": True,
        "tls-server-name": "inner",
        "proxy-url": "http://proxy:3128",
    }
    found = endpoint(tmp_path, document({"username": "me", "password": "hunter22"}, cluster))
    assert found.server == "https://host/k8s/clusters/c-1"
    assert not found.is_verified
    assert (found.tls_server_name, found.proxy_url) == ("inner", "http://proxy:3128")
    assert found.login == BasicLogin(username="me", password=Secret("hunter22"))


def test_data_goes_before_files(tmp_path: Path) -> None:
    data = base64.b64encode(b"-----BEGIN").decode()
    cluster = {"certificate-authority": "x", "certificate-authority-data": data}
    found = endpoint(tmp_path, document(cluster=cluster))
    assert isinstance(found.authority, Pem)
    assert found.authority.load() == b"-----BEGIN"


@pytest.mark.parametrize(
    ("user", "kind"),
    [
        ({"token": "t", "tokenFile": "f"}, BearerTokenFile),
        ({"token": "t", "exec": {"command": "p", "apiVersion": V1, "interactiveMode": "Never"}}, BearerToken),
        ({"exec": {"command": "p", "apiVersion": "client.authentication.k8s.io/v1beta1"}}, ExecPlugin),
        ({}, type(None)),
    ],
    ids=["file-before-token", "token-before-plugin", "plugin", "nothing"],
)
def test_ways_to_log_in_have_an_order(tmp_path: Path, user: dict[str, Any], kind: type) -> None:
    assert type(endpoint(tmp_path, document(user)).login) is kind


def test_plugin_is_read_whole(tmp_path: Path) -> None:
    plugin = {
        "command": "./bin/login",
        "args": ["--for", "x"],
        "env": [{"name": "A", "value": "b"}],
        "apiVersion": V1,
        "interactiveMode": "IfAvailable",
        "installHint": "get it",
        "provideClusterInfo": True,
    }
    extensions = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "y"}}]
    login = endpoint(tmp_path, document({"exec": plugin}, {"extensions": extensions})).login
    assert isinstance(login, ExecPlugin)
    assert login.command == str(tmp_path / "bin" / "login")
    assert login.arguments == ("--for", "x")
    assert login.environment == (("A", Secret("b")),)
    assert login.provides_cluster_info
    assert login.cluster_config == {"audience": "y"}


def test_secrets_never_show(tmp_path: Path) -> None:
    key = base64.b64encode(b"the-key-bytes").decode()
    user = {"token": "hunter22", "client-certificate-data": key, "client-key-data": key}
    path = write(tmp_path / "config", document(user, {"proxy-url": "http://me:hunter33@proxy"}))
    config = load_kubeconfig({"KUBECONFIG": str(path)})
    connection = open_connection("x", {"KUBECONFIG": str(path)})
    shown = f"{config!r} {config.endpoint()!r} {config._users!r} {connection!r}"
    for secret in ("hunter22", "hunter33", "the-key-bytes", key):
        assert secret not in shown


@pytest.mark.parametrize(
    ("content", "context", "subject", "complaint"),
    [
        (document(**{"current-context": ""}), None, "config: current-context", r"is not set \(contexts: x\)"),
        (document(contexts=[], **{"current-context": None}), None, "config: current-context", "no context is defined"),
        (document(), "nope", "--kube-context", r"no context 'nope' \(contexts: x\)"),
        (document(**{"current-context": "nope"}), None, "config: current-context", "no context 'nope'"),
        (document(clusters=[]), None, "config: contexts[x].context.cluster", "no cluster 'c' (known: none)"),
        (document(users=None), None, "config: contexts[x].context.user", "no user 'u' (known: none)"),
        (
            document(contexts=[{"name": "x", "context": None}]),
            None,
            "contexts[x].context.cluster",
            "no cluster is named",
        ),
        ("a: [", None, "config", "not valid YAML at line 1"),
        ("- a", None, "config", "Expected `object`"),
        ("\x00", None, "config", "not valid YAML"),
        (document({"token": 7}), None, "config: users[0].user.token", "Expected `str | null`, got `int`"),
        (document(cluster={"server": None}), None, "clusters[c].cluster.server", "is not set"),
        (document(cluster={"server": "host:6443"}), None, "clusters[c].cluster.server", "is not an http(s) URL"),
        (document(cluster={"server": "https://h:99999"}), None, "clusters[c].cluster.server", "is not an http(s) URL"),
        (document(cluster={"server": "https://me:pw@h"}), None, "clusters[c].cluster.server", "must not hold a user"),
        (document({"token": "t"}, {"server": "http://h"}), None, "clusters[c].cluster.server", "is plain http"),
        (document(cluster={"proxy-url": "socks5://p"}), None, "clusters[c].cluster.proxy-url", "only http"),
        (
            document(cluster={"certificate-authority": "x", "insecure-skip-tls-verify": True}),
            None,
            "clusters[c].cluster.insecure-skip-tls-verify",
            "remove one",
        ),
        (
            document(cluster={"certificate-authority-data": "%%"}),
            None,
            "clusters[c].cluster.certificate-authority-data",
            "is not base64",
        ),
        (document({"client-certificate": "x"}), None, "users[u].user.client-key", "counterpart"),
        (document({"client-key": "x"}), None, "users[u].user.client-certificate", "counterpart"),
        (document({"token": "t", "username": "u"}), None, "users[u].user.username", "keep one way"),
        (document({"auth-provider": {"name": "gcp"}}), None, "users[u].user.auth-provider", "exec plugin"),
        (document({"as": "admin"}), None, "users[u].user.as", "impersonation"),
        (document({"exec": {"apiVersion": V1}}), None, "users[u].user.exec.command", "is not set"),
        (document({"exec": {"command": "p"}}), None, "users[u].user.exec.apiVersion", "supported are"),
        (
            document({"exec": {"command": "p", "apiVersion": V1}}),
            None,
            "users[u].user.exec.interactiveMode",
            "Never or IfAvailable",
        ),
        (
            document({"exec": {"command": "p", "apiVersion": V1, "interactiveMode": "Always"}}),
            None,
            "users[u].user.exec.interactiveMode",
            "no terminal",
        ),
    ],
)
def test_errors_name_file_field_and_remedy(
    tmp_path: Path, content: dict[str, Any] | str, context: str | None, subject: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint(tmp_path, content, context)
    assert (caught.value.subject or "").endswith(subject)
    assert complaint in caught.value.message or re.search(complaint, caught.value.message)


def test_no_file_at_all_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"looked at .*/\.kube/config"):
        load_kubeconfig({"HOME": str(tmp_path)})
    with pytest.raises(ConfigError, match="neither KUBECONFIG nor HOME"):
        load_kubeconfig({})


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_kubeconfig({"KUBECONFIG": str(tmp_path)})


def test_broken_values_are_never_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint(tmp_path, "users: [{name: u, user: {token: hunter22")
    assert "hunter22" not in str(caught.value)


def test_empty_file_is_an_empty_kubeconfig(tmp_path: Path) -> None:
    paths = f"{write(tmp_path / 'empty', '')}:{write(tmp_path / 'config', document())}"
    assert load_kubeconfig({"KUBECONFIG": paths}).endpoint().name == "x"


@pytest.mark.parametrize("server", ["http://127.0.0.1:80", "http://localhost", "http://[::1]:1"])
def test_credentials_may_go_over_plain_http_within_the_machine(tmp_path: Path, server: str) -> None:
    found = endpoint(tmp_path, document({"token": "t"}, {"server": server}))
    assert found.login == BearerToken(token=Secret("t"))


def test_text_that_looks_like_a_date_stays_text(tmp_path: Path) -> None:
    content = yaml.safe_dump(document()).replace("current-context: x", "current-context: 2026-01-01")
    content = content.replace("name: x", "name: 2026-01-01")
    assert endpoint(tmp_path, content).name == "2026-01-01"


def test_a_file_is_parsed_again_only_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of hundreds of contexts reads the file on its own: parsing alone would take all the time."""
    path, parsed = tmp_path / "config", list[str]()
    load = yaml.load

    def count(text: str, **more: Any) -> Any:
        parsed.append(text)
        return load(text, **more)

    monkeypatch.setattr(yaml, "load", count)
    path.write_text("current-context: one\n")
    assert [read_kubefile(path).current_context for _ in range(3)] == ["one"] * 3
    path.write_text("current-context: two\n")
    assert read_kubefile(path).current_context == "two"
    assert len(parsed) == 2
