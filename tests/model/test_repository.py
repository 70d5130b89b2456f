from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.model.repository import parse_repository

FORMS = [
    ("https://github.com/Acme/Shop.git", "github.com/acme/shop"),
    ("https://github.com/acme/shop/", "github.com/acme/shop"),
    ("https://www.github.com/acme/shop", "github.com/acme/shop"),
    ("HTTPS://user:secret@GitHub.com:443/acme/shop", "github.com/acme/shop"),
    ("ssh://git@github.com/acme/shop.git", "github.com/acme/shop"),
    ("ssh://git@ssh.github.com:443/acme/shop.git", "github.com/acme/shop"),
    ("git@github.com:acme/shop.git", "github.com/acme/shop"),
    ("git@github.com:/acme/shop.git", "github.com/acme/shop"),
    ("https://gitlab.com/Group/sub/Repo.git", "gitlab.com/Group/sub/Repo"),
    ("git@gitlab.example.com:group/sub/deep/repo.git", "gitlab.example.com/group/sub/deep/repo"),
    ("ssh://git@gitlab.example.com:2222/group/repo", "gitlab.example.com/group/repo"),
    ("http://git.local:3000/acme/shop", "git.local/acme/shop"),
    ("https://[2001:db8::1]:8443/acme/shop", "[2001:db8::1]/acme/shop"),
    ("https://dev.azure.com/Org/My%20Project/_git/Repo", "dev.azure.com/org/my project/repo"),
    ("https://org@dev.azure.com/org/my%20project/_git/repo", "dev.azure.com/org/my project/repo"),
    ("git@ssh.dev.azure.com:v3/org/my%20project/repo", "dev.azure.com/org/my project/repo"),
    ("ssh://git@ssh.dev.azure.com:22/v3/org/my%20project/repo", "dev.azure.com/org/my project/repo"),
    ("https://org.visualstudio.com/DefaultCollection/my%20project/_git/repo", "dev.azure.com/org/my project/repo"),
    ("https://org.visualstudio.com/my%20project/_git/repo", "dev.azure.com/org/my project/repo"),
    ("org@vs-ssh.visualstudio.com:v3/org/my%20project/repo", "dev.azure.com/org/my project/repo"),
    ("https://dev.azure.com/org/_git/repo", "dev.azure.com/org/repo/repo"),
    ("file:///a/b.git", "file:/a/b"),
    ("file:///a/b", "file:/a/b"),
]


@pytest.mark.parametrize(("url", "canonical"), FORMS, ids=[url for url, _ in FORMS])
def test_canonical_of_every_form(url: str, canonical: str) -> None:
    assert parse_repository(url).canonical == canonical


REFUSED = {
    "empty": "",
    "a local path": "/srv/git/shop.git",
    "a relative path": "shop.git",
    "git protocol": "git://github.com/acme/shop",
    "ext transport": "ext::sh -c touch% /tmp/x",
    "ext without spaces": "ext::sh",
    "option as host": "ssh://-oProxyCommand=touch/x/y",
    "option as scp host": "-oProxyCommand=x:acme/shop",
    "option as user": "ssh://-oProxyCommand=x@host/acme/shop",
    "option as path": "git@host:-upload-pack/shop",
    "no path": "https://github.com/",
    "only .git": "https://github.com/.git",
    "dots": "https://github.com/acme/../secret",
    "encoded dots": "https://github.com/acme/%2e%2e/secret",
    "encoded slash": "https://github.com/acme/..%2fsecret",
    "newline": "https://github.com/acme/shop\nhost",
    "space": "https://github.com/acme/my shop",
    "bad port": "https://github.com:99999/acme/shop",
    "query": "https://github.com/acme/shop?token=abcd",
    "fragment": "https://github.com/acme/shop#x",
    "file with host": "file://server/a/b",
    "no host": "https:///acme/shop",
    "broken address": "https://[::1/acme/shop",
    "too long": "https://github.com/" + "a" * 3000,
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_the_accepted_forms(url: str) -> None:
    with pytest.raises(WireError, match=r"is not a repository URL.*Accepted: https://host/owner/repo"):
        parse_repository(url)


def test_a_refusal_never_quotes_the_userinfo() -> None:
    with pytest.raises(WireError) as caught:
        parse_repository("git://user:hunter22@github.com/acme/shop")
    assert "hunter22" not in str(caught.value)
    assert "github.com/acme/shop" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "fetch_url"),
    [
        ("https://user:secret@github.com/acme/shop.git/", "https://github.com/acme/shop.git"),
        ("http://git.local:3000/acme/shop", "http://git.local:3000/acme/shop"),
        ("ssh://git@host:2222/acme/shop", "ssh://git@host:2222/acme/shop"),
        ("git@host:acme/shop.git", "git@host:acme/shop.git"),
        ("file:///a/b.git", "file:///a/b.git"),
    ],
)
def test_fetch_url_keeps_the_form_and_drops_secrets(url: str, fetch_url: str) -> None:
    assert parse_repository(url).fetch_url == fetch_url


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("git@github.com:acme/shop.git", "https://github.com/acme/shop/commit/abc"),
        ("https://gitlab.example.com/Group/sub/repo.git", "https://gitlab.example.com/Group/sub/repo/-/commit/abc"),
        ("https://bitbucket.org/acme/shop", "https://bitbucket.org/acme/shop/commits/abc"),
        ("https://codeberg.org/acme/shop", "https://codeberg.org/acme/shop/commit/abc"),
        ("https://dev.azure.com/org/project/_git/repo", "https://dev.azure.com/org/project/_git/repo/commit/abc"),
        ("git@git.example.com:acme/shop", None),
        ("https://git.example.com/acme/shop", None),
        ("file:///a/b", None),
    ],
)
def test_commit_url_where_the_forge_is_known(url: str, page: str | None) -> None:
    assert parse_repository(url).commit_url("abc") == page


def test_owner_and_name() -> None:
    nested = parse_repository("https://gitlab.com/group/sub/repo.git")
    assert (nested.owner, nested.name) == ("group/sub", "repo")
    assert parse_repository("https://host/repo").owner == ""
    assert (
        parse_repository("https://git.example.com:8443/acme/shop.git").web_url
        == "https://git.example.com:8443/acme/shop"
    )


word = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=12).filter(
    lambda text: not text.lower().endswith("git")
)


@given(host=word, path=st.lists(word, min_size=2, max_size=4), user=word, secret=word)
def test_ssh_and_https_of_one_repository_are_equal(host: str, path: list[str], user: str, secret: str) -> None:
    joined, host = "/".join(path), f"{host}.example.com".replace("_", "x")
    forms = [
        f"https://{host}/{joined}.git",
        f"https://{user}:{secret}@{host}/{joined}",
        f"ssh://git@{host}/{joined}",
        f"{user}@{host}:{joined}.git",
    ]
    parsed = [parse_repository(form) for form in forms]
    assert {url.canonical for url in parsed} == {f"{host.lower()}/{joined}"}
    assert all(parse_repository(url.fetch_url) == url for url in parsed)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        url = parse_repository(text)
    except WireError:
        return
    assert url.canonical
    assert not url.fetch_url.startswith("-")
    assert parse_repository(url.fetch_url).canonical == url.canonical
