from __future__ import annotations

import pytest

from fluxtrail.model.errors import ConfigError, WireError
from fluxtrail.model.repository import parse_repository
from fluxtrail.remotes.allow import AllowList, is_internal_host


@pytest.mark.parametrize(
    ("pattern", "url", "admitted"),
    [
        ("github.com/acme/*", "https://github.com/Acme/shop", True),
        ("github.com/acme/*", "git@github.com:acme/shop.git", True),
        ("github.com/acme/*", "ssh://git@ssh.github.com:443/acme/shop", True),
        ("github.com/acme", "https://github.com/acme/shop", True),
        ("github.com/acme/shop", "https://github.com/acme/shop.git", True),
        ("github.com/acme/shop", "https://github.com/acme/other", False),
        ("github.com/acme/*", "https://github.com/acme2/shop", False),
        ("github.com/acme", "https://github.com/acme2/shop", False),
        ("github.com", "https://github.com/any/shop", True),
        ("github.com/acme/*", "https://github.com.evil.org/acme/shop", False),
        ("*.example.com", "https://git.example.com/a/b", True),
        ("*.example.com", "https://example.org/a/b", False),
        ("git.example.com:8443/*", "https://git.example.com:8443/a/b", True),
        ("git.example.com:8443/*", "https://git.example.com/a/b", False),
        ("git.local", "http://git.local/a/b", False),
        ("http://git.local/*", "http://git.local/a/b", True),
        ("http://git.local/*", "https://git.local/a/b", False),
        ("*", "https://169.254.169.254/latest/meta-data", False),
        ("http://*", "http://localhost/a/b", False),
        ("http://127.0.0.1/*", "http://127.0.0.1:8080/a/b", True),
        ("http://127.0.0.1:8080/*", "http://127.0.0.1:8081/a/b", False),
    ],
)
def test_patterns(pattern: str, url: str, admitted: bool) -> None:
    allow = AllowList([pattern])
    if admitted:
        assert allow.check(url) == parse_repository(url)
    else:
        with pytest.raises(ConfigError, match="allow"):
            allow.check(url)


def test_watched_sources_admit_their_host() -> None:
    allow = AllowList()
    with pytest.raises(ConfigError, match="no watched source is on its host") as caught:
        allow.check("https://user:hunter22@github.com/acme/shop")
    assert caught.value.subject == "https://github.com/acme/shop"
    allow.admit("ssh://git@github.com/acme/fleet")
    allow.check("https://github.com/other/shop")
    allow.check("ssh://git@ssh.github.com:443/other/shop")
    with pytest.raises(ConfigError, match="plain HTTP"):
        allow.check("http://github.com/other/shop")
    allow.admit("http://git.corp/acme/fleet")
    allow.check("http://git.corp/acme/other")


def test_a_watched_source_on_an_internal_address_is_still_refused() -> None:
    allow = AllowList()
    allow.admit("http://127.0.0.1:9000/acme/fleet")
    with pytest.raises(ConfigError, match="loopback"):
        allow.check("http://127.0.0.1:9000/acme/fleet")


@pytest.mark.parametrize(
    ("patterns", "is_stated", "expected"),
    [((), False, False), ((), True, True), (("git.corp/*",), False, False), (("http://git.corp/*",), False, True)],
)
def test_logins_go_in_clear_text_only_where_the_settings_say_so(
    patterns: tuple[str, ...], is_stated: bool, expected: bool
) -> None:
    allow = AllowList(patterns)
    allow.admit("http://git.corp/acme/fleet", is_stated=is_stated)
    assert allow.may_log_in(allow.check("http://git.corp/acme/shop")) is expected
    assert allow.may_log_in(allow.check("https://git.corp/acme/shop"))


def test_file_urls_need_their_own_switch() -> None:
    with pytest.raises(ConfigError, match="allow_file_protocol"):
        AllowList(["*"]).check("file:///a/b")
    assert AllowList(allow_file_protocol=True).check("file:///a/b").canonical == "file:/a/b"


@pytest.mark.parametrize("pattern", ["", "a b", "/acme", "ftp://host/x"])
def test_a_wrong_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is not host"):
        AllowList([pattern])


def test_a_wrong_url_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        AllowList(["*"]).check("not a url")


INTERNAL = [
    "localhost", "LOCALHOST.", "x.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "::1", "[::1]", "::ffff:127.0.0.1", "0.0.0.0", "0", "::", "169.254.169.254",
    "0xa9fea9fe", "fe80::1", "fe80::1%eth0", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "fd00:ec2::254",
    "100.100.100.200", "168.63.129.16",
    "metadata.google.internal", "224.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", INTERNAL)
def test_internal_hosts_however_written(host: str) -> None:
    assert is_internal_host(host)


@pytest.mark.parametrize(
    "host", ["github.com", "10.0.0.5", "192.168.1.1", "2001:db8::1", "1.2.3.4", "fd00::1", "face.cafe"]
)
def test_other_hosts_are_not_internal(host: str) -> None:
    assert not is_internal_host(host)


async def test_a_name_that_resolves_to_loopback_is_refused() -> None:
    allow = AllowList()
    with pytest.raises(ConfigError, match="resolves to a loopback"):
        # `localhost` stands for any name: the static check is not asked here.
        await allow.check_addresses(parse_repository("https://localhost/a/b"))
    await AllowList(["localhost/*"]).check_addresses(parse_repository("https://localhost/a/b"))
    await allow.check_addresses(parse_repository("https://name.invalid/a/b"))
