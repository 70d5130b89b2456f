"""Where the client may send: https, this machine, services of the cluster; an organisation by its plain name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remotes.github.artifacts import ArtifactClientMaker
from yarl import URL

from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.github.artifact_address import parse_base_url, parse_organization

SERVICE = "my-service.my-namespace.svc.cluster.local"


@pytest.mark.parametrize(("text", "expected"), [
    ("https://api.github.com", "https://api.github.com"),
    ("api.github.com", "https://api.github.com"),
    ("http://localhost:8080", "http://localhost:8080"),
    ("http://localhost", "http://localhost"),
    ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
    ("http://[::1]:9090", "http://[::1]:9090"),
    (f"http://{SERVICE}:8080", f"http://{SERVICE}:8080"),
    (f"http://{SERVICE}.:8080", f"http://{SERVICE}.:8080"),
    (f"https://{SERVICE}", f"https://{SERVICE}"),
    ("https://github.example.com/api/v3", "https://github.example.com/api/v3"),
    ("https://github.example.com/api/v3/", "https://github.example.com/api/v3"),
    ("github.example.com/api/v3//", "https://github.example.com/api/v3"),
    ("github.example.com:8443", "https://github.example.com:8443"),
    ("localhost:8080", "https://localhost:8080"),
    (" https://api.acme.ghe.com \n", "https://api.acme.ghe.com"),
    ("HTTPS://api.github.com/", "https://api.github.com"),
])  # fmt: skip
def test_addresses_that_are_taken(text: str, expected: str) -> None:
    assert parse_base_url(text) == expected


@pytest.mark.parametrize("text", [
    "http://api.github.com",
    "HTTP://api.github.com",
    "http://192.168.1.1:8080",
    "http://example.com",
    "http://localhost.evil.example",
    "http://localhostevil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1evil",
    "http://x.svc.cluster.local.evil.example",
    "http://evil.example/.svc.cluster.local",
    "http://evilsvc.cluster.local",
    "http://svc.cluster.local",
    "http://[2001:db8::1]/",
    "http://2130706433",
])  # fmt: skip
def test_plain_http_goes_nowhere_else(text: str) -> None:
    with pytest.raises(ConfigError, match="insecure URL not allowed") as caught:
        parse_base_url(text)
    assert caught.value.subject == "deployment_records.base_url (BASE_URL)"


@pytest.mark.parametrize("text", [
    "", ".", "https://a..b", "https://", "ftp://api.github.com", "https://user:pa55word@host", "http://localhost@evil.example",
    "http://evil.example?.svc.cluster.local", "http://evil.example#.svc.cluster.local", "https://host/?token=pa55word",
    r"http://localhost\@evil.example", "http://localhost\n.evil.example", "https://ho st", "https://host:99999",
    "https://host:0", "https://[::1", "https://[nonsense]", "http://localhost:8080:80",
])  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an API address") as caught:
        parse_base_url(text)
    assert "pa55word" not in str(caught.value)


@given(st.text(max_size=60) | st.from_regex(r"(https?://)?[a-z.:/@\[\]\\#?]{0,40}", fullmatch=True))
def test_what_is_taken_is_read_alike_by_the_http_client(text: str) -> None:
    try:
        url = parse_base_url(text)
    except ConfigError:
        return
    read = URL(f"{url}/orgs/x", encoded=True)
    assert read.user is None
    assert read.query_string == ""
    host = (read.host or "").removesuffix(".")
    assert host
    if read.scheme != "https":
        assert host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".svc.cluster.local")


@pytest.mark.parametrize("name", [
    "github", "my-org", "my_org", "my-org-name", "MyOrg123", "org-with-many-hyphens", "a", "A", "1",
    "MixedCase-and_underscores-123",
])  # fmt: skip
def test_organisations(name: str) -> None:
    assert parse_organization(name) == name


@pytest.mark.parametrize("name", [
    "", "my org", "my-org/../other", "my@org!", "has.dot", "has/slash", "has\\backslash", "has!exclaim",
    "../traversal", "org/../../../etc/passwd", "org\n", "örg",
])  # fmt: skip
async def test_what_is_no_organisation(make_artifacts: ArtifactClientMaker, name: str) -> None:
    with pytest.raises(ConfigError, match="invalid organization name"):
        make_artifacts(name)


async def test_the_client_checks_both(make_artifacts: ArtifactClientMaker) -> None:
    with pytest.raises(ConfigError, match="insecure URL not allowed"):
        make_artifacts(base_url="http://example.com")
    client = make_artifacts("MyOrg123", base_url="github.example.com/api/v3/")
    assert (client.organization, client.base_url) == ("MyOrg123", "https://github.example.com/api/v3")
