from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model import redaction
from fluxtrail.model.redaction import MASK, MESSAGE_LIMIT_BYTES, redact, redact_url

WORD = string.ascii_letters + string.digits

TOKENS = {
    "github": "ghp_" + "a1B2" * 9,
    "github-app": "ghs_" + "a1B2" * 9,
    "github-fine-grained": "github_pat_" + "a1B2_" * 12,
    "gitlab": "glpat-" + "a1B2-" * 4,
    "slack": "xoxb-" + "1234567890-abc",
    "aws": "AKIA" + "ABCD1234" * 2,
    "aws-session": "ASIA" + "ABCD1234" * 2,
    "jwt": "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
    "private-key-cut": "-----BEGIN PRIVATE KEY-----\nMIIEow\nIBAAKC",
}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/shop", "https://github.com/acme/shop"),
        ("https://user:pw@github.com/acme/shop?token=1#part", "https://github.com/acme/shop"),
        ("https://ghp_abcdefghij0123456789@github.com/acme", "https://github.com/acme"),
        ("https://a@b@example.com/x", "https://example.com/x"),
        ("https://[::1]:8080/x", "https://[::1]:8080/x"),
        ("https://u:p@[::1]/x", "https://[::1]/x"),
        ("ssh://git@github.com:22/acme/shop.git", "ssh://github.com:22/acme/shop.git"),
        ("git@github.com:acme/shop.git", "git@github.com:acme/shop.git"),
        ("user:pw@host/path?x=1", "host/path"),
        ("relative/path?secret=1#x", "relative/path"),
        ("https://medium.com/@someone/x", "https://medium.com/@someone/x"),
        ("https://user:pa/ss@host/x", MASK),
        ("https://user:pa?ss@host/x", MASK),
        ("https://user:pa#ss@host/x", MASK),
        ("https://[::1", MASK),
        ("", ""),
    ],
)
def test_urls_lose_userinfo_query_and_fragment(url: str, expected: str) -> None:
    assert redact_url(url) == expected


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("around", ["{}", "token {} refused", "a={}", "my_{}", "('{}')", "x\n{}\ny"])
def test_tokens_are_masked_wherever_they_stand(token: str, around: str) -> None:
    cleared = redact(around.format(token))
    assert token not in cleared
    assert token[-12:] not in cleared
    assert MASK in cleared


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Get https://u:pw@host/x?y=1: 401", "Get https://host/x 401"),
        ("clone 'https://u:p'w@host/x' failed", "clone 'https://host/x' failed"),
        ("_https://u:pw@host/x", "_https://host/x"),
        ("Authorization: Bearer abcdef", MASK),
        ("authorization = token abcdef rest", f"{MASK} rest"),
        ('{"Authorization":"Basic dXNlcjpwdw=="}', f'{{"{MASK}"}}'),
        ("Bearer abcdefghijklmnop", MASK),
        ("bearer a1b2c3", MASK),
        ("Basic dXNlcjpwdw==", MASK),
        ("basic authentication failed", "basic authentication failed"),
        ("Basic Authentication failed", "Basic Authentication failed"),
        ("password=hunter22", f"password={MASK}"),
        ("DB_PASSWORD: hunter22", f"DB_PASSWORD: {MASK}"),
        ('"client_secret": "two words", "x": 1', f'"client_secret": "{MASK}", "x": 1'),
        ("api-key='ab'", f"api-key='{MASK}'"),
        ('{\\"token\\":\\"abc\\"}', f'{{\\"token\\":\\"{MASK}"}}'),
        ("x-api-key: abcd1234", f"x-api-key: {MASK}"),
        ('secret "flux-system/git" not found', 'secret "flux-system/git" not found'),
        ("health check failed: timeout waiting for: [Deployment/a/b status: 'InProgress']",) * 2,
        ("Applied revision: main@sha1:" + "a" * 40,) * 2,
        ("tabs\tand\nlines stay", "tabs\tand\nlines stay"),
        ("\x1b[31mred\x00", "[31mred"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
    ],
)
def test_messages_are_cleared(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("text", [None, ""], ids=["none", "empty"])
def test_nothing_stays_nothing(text: str | None) -> None:
    assert redact(text) == ""


def test_our_own_credentials_go_whatever_they_look_like() -> None:
    assert redact("user correct-horse/1 said", secrets=("correct-horse/1",)) == f"user {MASK} said"
    assert redact("https%3A%2F%2Fcorrect-horse%2F1", secrets=("correct-horse/1",)) == f"https%3A%2F%2F{MASK}"
    assert redact("abc", secrets=("abc",)) == "abc"  # too short to mean anything


def test_long_text_is_cut_to_bytes_not_characters() -> None:
    cleared = redact("é" * 2000)
    assert len(cleared.encode()) <= MESSAGE_LIMIT_BYTES
    assert cleared.endswith("é…")
    assert redact("é" * 10, limit_bytes=9) == "ééé…"


def test_a_secret_that_the_first_cut_splits_does_not_show() -> None:
    token = "ghp_" + "a1B2" * 9
    for tail in range(1, len(token)):
        url = "https://h/?" + "x" * (16 * MESSAGE_LIMIT_BYTES - len("https://h/? ") - tail)
        cleared = redact(f"{url} {token}")
        assert cleared == "https://h/ …"


SECRETS = st.one_of(
    st.sampled_from(sorted(TOKENS.values())),
    st.text(WORD, min_size=20, max_size=40).map("ghp_".__add__),
    st.text(WORD, min_size=20, max_size=40).map("glpat-".__add__),
)


@given(st.text(max_size=300), SECRETS, st.text(max_size=300), st.integers(0, 900))
def test_a_planted_token_never_survives(before: str, token: str, after: str, padding: int) -> None:
    cleared = redact(before + "." * padding + token + after)
    assert token not in cleared
    assert len(cleared.encode()) <= MESSAGE_LIMIT_BYTES
    start = token[: max(len(token) // 2, 12)]
    assert start not in cleared or start in before + after


@given(
    st.text(WORD + "-._~%!$&'()*+,;=", min_size=6, max_size=40),
    st.text(WORD, min_size=8, max_size=30).map("q".__add__),
    st.text(max_size=50),
)
def test_userinfo_and_query_of_a_url_never_survive(password: str, query: str, around: str) -> None:
    text = f"{around} https://user:{password}@h.example/p?{query}"
    cleared = redact(text)
    assert f":{password}@" not in cleared
    assert query not in cleared or query in around


@given(st.text(WORD + "/+=", min_size=8, max_size=60), st.text(max_size=1500), st.text(max_size=1500))
def test_our_own_credential_never_survives(secret: str, before: str, after: str) -> None:
    cleared = redact(before + secret + after, secrets=(secret,))
    assert secret not in cleared or secret in MASK


@given(st.text(max_size=4000))
def test_clearing_twice_changes_nothing_more_than_the_cut(text: str) -> None:
    once = redact(text)
    assert len(once.encode()) <= MESSAGE_LIMIT_BYTES
    assert len(redact(once)) <= len(once) + len(MASK)


@pytest.mark.parametrize("hostile", ["a-", "a.", "token", "password ", "a+", "eyJ", "a://", "-----BEGIN ", "basic "])
def test_hostile_text_costs_little(hostile: str) -> None:
    began = time.process_time()
    redact(hostile * 100_000)
    redact("password" + hostile[-1] * 100_000)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["a:" * 200_000, ":" * 400_000, "a" * 400_000 + ":" + "b" * 400_000])
def test_text_without_end_that_is_no_url_takes_linear_time(text: str) -> None:
    """The test's own time limit is what would fail: quadratic time would be minutes."""
    assert redact_url(text) == text
    assert redact_url(f"{text}@host/x") == "host/x"


PIECES = [
    *TOKENS.values(),
    *("gho_" + "Q" * 16, "XOXB-AAAAAAAAAAAA", "password", "passwd", "PassWd", "ſecret", "toKEN", "\u212aey", "api_key"),
    *("Authorization", "authorızation", "Bearer ", "basic ", "abcdefgh", "A1b2C3d4", "https://u:p@h/x?y=1", "://"),
    *(":", "=", '"', "'", " ", "\n", "\x00", "é", "@", "?", "#", "/", "\\", "-", MASK, "\ud800"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_a_pattern_that_is_not_tried_would_have_found_nothing(pieces: list[str]) -> None:
    text = redaction._CONTROLS.sub("", "".join(pieces))
    everything = redaction._URL.sub(lambda match: redact_url(match.group(0)), text)
    everything = redaction._AUTH_SCHEME.sub(MASK, redaction._AUTH_HEADER.sub(MASK, everything))
    everything = redaction._ASSIGNED.sub(lambda match: match[1] + match[2] + MASK, everything)
    everything = redaction._TOKENS.sub(MASK, everything)
    assert redact("".join(pieces), limit_bytes=10_000) == everything.encode("utf-8", "replace").decode()
