"""Tokens, sessions, and how often one may be wrong: without a server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.doorkeeping import open_doorkeeper
from fluxtrail.runtime.settings.sections import ApiSetting
from fluxtrail.web.access.asgi import Scope
from fluxtrail.web.access.cookies import read_cookie
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.failures import MOST_ADDRESSES, MOST_FAILURES, MOST_TRUSTED, Failures, network
from fluxtrail.web.access.forms import form_field, is_right_form
from fluxtrail.web.access.principals import LOCAL, NOBODY, Principal, Role
from fluxtrail.web.access.sessions import MOST_ENDED, SESSION_SECONDS, Sessions
from fluxtrail.web.access.tokens import Token, Tokens

SECRET = "s" * 32
OTHER = "o" * 32
NOON = 1_800_000_000.0


@dataclass
class Clock:
    seconds: float = NOON

    def __call__(self) -> float:
        return self.seconds


def scope(*headers: tuple[str, str], host: str = "localhost:8080", server: str = "127.0.0.1") -> Scope:
    pairs = [("host", host), *headers]
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "server": (server, 8080),
        "client": ("10.0.0.1", 1),
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in pairs],
    }


# -- cookies --------------------------------------------------------------------------------------------------

SESSIONS = Sessions(Tokens([Token(name="ops", secret=SECRET)]), wall=Clock())
GOOD = SESSIONS.start(Token(name="ops"), SECRET)


def test_session_is_read_back() -> None:
    session = SESSIONS.read(GOOD)
    assert session is not None
    assert (session.token.name, session.ends_at, len(session.csrf)) == ("ops", NOON + SESSION_SECONDS, 43)
    assert SECRET not in GOOD + repr(session)
    assert session.csrf not in repr(session)


@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_no_character_of_a_session_may_change(at: int, character: str) -> None:
    changed = f"{GOOD[:at]}{character}{GOOD[at + 1 :]}"
    assert (SESSIONS.read(changed) is not None) == (changed == GOOD)


@given(st.text(max_size=200))
def test_text_is_no_session(text: str) -> None:
    assert SESSIONS.read(text) is None


@given(st.from_regex(r"1\.[a-z0-9]{1,9}\.[0-9]{1,12}\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", fullmatch=True))
def test_session_that_nobody_signed_is_none(text: str) -> None:
    assert SESSIONS.read(text) is None


def test_session_of_another_token_is_none() -> None:
    both = Tokens([Token(name="ops", secret=SECRET), Token(name="people", secret=OTHER, role=Role.VIEWER)])
    sessions = Sessions(both, wall=Clock())
    cookie = sessions.start(Token(name="people"), OTHER)
    assert sessions.read(cookie) is not None
    assert sessions.read(cookie.replace("people", "ops")) is None
    renamed = Sessions(Tokens([Token(name="ops", secret=OTHER)]), wall=Clock())
    assert renamed.read(cookie) is None


def test_session_from_a_later_clock_is_none() -> None:
    """Its 12 hours would be longer."""
    later = Sessions(Tokens([Token(name="ops", secret=SECRET)]), wall=Clock(NOON + 3600))
    assert SESSIONS.read(later.start(Token(name="ops"), SECRET)) is None


def test_ended_sessions_are_remembered_in_bounds() -> None:
    clock = Clock()
    sessions = Sessions(Tokens([Token(name="ops", secret=SECRET)]), wall=clock)
    cookies = [sessions.start(Token(name="ops"), SECRET) for _ in range(3)]
    first, second, third = (sessions.read(cookie) for cookie in cookies)
    assert first is not None
    assert second is not None
    assert third is not None
    sessions.end(first)
    sessions.end(second)
    assert [sessions.read(cookie) is None for cookie in cookies] == [True, True, False]
    assert sessions.ended == 2
    clock.seconds += SESSION_SECONDS + 1
    sessions.end(third)
    assert sessions.ended == 0
    later = int(clock.seconds) + 1
    for number in range(MOST_ENDED + 10):
        sessions.end(replace(third, id=str(number), ends_at=later))
    assert sessions.ended == MOST_ENDED


@given(
    st.lists(
        st.one_of(
            st.text(max_size=60),
            st.sampled_from(["fluxtrail-form=a", "fluxtrail-form=b", " fluxtrail-form = a ", "; ;", "=", "a=b=c"]),
        ),
        max_size=8,
    )
)
def test_cookies_are_read_whatever_a_browser_sends(parts: list[str]) -> None:
    sent = scope(*(("cookie", part) for part in parts))
    found = read_cookie(sent, "fluxtrail-form")
    assert isinstance(found, str)
    if not any("fluxtrail-form" in part for part in parts):
        assert found == ""


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        (["fluxtrail-form=a"], "a"),
        (["theme=x; fluxtrail-form=a; b=c"], "a"),
        (["theme=x", "fluxtrail-form=a"], "a"),
        (["fluxtrail-form=a; fluxtrail-form=b"], ""),
        (["fluxtrail-form=a", "fluxtrail-form=a"], ""),
        (["Fluxtrail_form=a"], ""),
        (["__Host-fluxtrail-form=a"], ""),
        (["fluxtrail-form"], ""),
        (["; ".join(f"c{number}=1" for number in range(50)) + "; fluxtrail-form=a"], ""),
    ],
)
def test_cookie_that_is_there_once_is_found(cookies: list[str], found: str) -> None:
    assert read_cookie(scope(*(("cookie", text) for text in cookies)), "fluxtrail-form") == found


@pytest.mark.parametrize(
    ("host", "found"), [("fluxtrail.acme.dev", "b"), ("localhost", "a"), ("[::1]:80", "a"), ("127.0.0.1:1", "a")]
)
def test_beyond_loopback_only_cookies_of_this_host_count(host: str, found: str) -> None:
    sent = scope(("cookie", "fluxtrail-form=a; __Host-fluxtrail-form=b"), host=host)
    assert read_cookie(sent, "fluxtrail-form") == found


@given(st.binary(max_size=200))
def test_body_that_is_no_form_is_no_right_form(body: bytes) -> None:
    assert isinstance(form_field(body, "csrf"), str)
    assert not is_right_form(scope(("cookie", f"fluxtrail-form={'a' * 43}")), body)


def test_form_with_very_many_fields_is_no_right_form() -> None:
    sent = scope(("cookie", f"fluxtrail-form={'a' * 43}"))
    right = b"csrf=" + b"a" * 43
    assert is_right_form(sent, right)
    assert not is_right_form(sent, right + b"&x=1" * 5000)


# -- tokens ---------------------------------------------------------------------------------------------------


def test_each_line_of_a_file_counts_and_a_change_within_a_second(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "token"
    file.write_text(f"{SECRET}\n\n {OTHER} \n", encoding="utf-8")
    tokens = Tokens([Token(name="ops", file=file)], monotonic=clock)
    assert [tokens.find(text) is not None for text in (SECRET, OTHER, "", "x")] == [True, True, False, False]
    file.write_text(OTHER, encoding="utf-8")
    clock.seconds += 0.5
    assert tokens.find(SECRET) is not None
    clock.seconds += 0.5
    assert [tokens.find(text) is not None for text in (SECRET, OTHER)] == [False, True]


@pytest.mark.parametrize("trouble", ["absent", "empty", "short"])
def test_file_that_cannot_be_used_any_more_changes_nothing(tmp_path: Path, trouble: str) -> None:
    clock, file = Clock(), tmp_path / "token"
    file.write_text(SECRET, encoding="utf-8")
    tokens = Tokens([Token(name="ops", file=file)], monotonic=clock)
    if trouble == "absent":
        file.unlink()
    else:
        file.write_text("" if trouble == "empty" else "short", encoding="utf-8")
    clock.seconds += 1
    assert tokens.find(SECRET) is not None
    file.write_text(OTHER, encoding="utf-8")
    clock.seconds += 1
    assert tokens.find(SECRET) is None


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([Token(name="a", secret=SECRET), Token(name="a", secret=OTHER)], "two tokens have one name"),
        ([Token(name="a", secret=SECRET), Token(name="b", secret=SECRET)], "a and b hold the same token"),
        ([Token(name="a", secret="short")], "openssl rand"),
        ([Token(name="a", secret=f"{SECRET}\nshort")], "openssl rand"),
        ([Token(name="a")], "it has 0 tokens"),
        ([Token(name="a", secret="\n".join(f"{SECRET}{number}" for number in range(6)))], "it has 6 tokens"),
    ],
)
def test_tokens_that_are_none_are_refused(tokens: list[Token], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Tokens(tokens)
    assert SECRET not in str(caught.value)
    assert "short" not in str(caught.value)


def test_token_may_be_any_text(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("gültig-gültig-gültig", encoding="utf-8")
    doorkeeper = Doorkeeper([Token(name="ops", file=file)])
    asked = scope()
    asked["headers"].append((b"authorization", "Bearer gültig-gültig-gültig".encode()))
    found = doorkeeper.identify(asked)
    assert isinstance(found, Principal)


# -- who ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "who"), [("127.0.0.1", LOCAL), ("::1", LOCAL), ("10.0.0.8", NOBODY), ("/run/socket", NOBODY)]
)
def test_without_tokens_the_way_in_decides(server: str, who: Principal) -> None:
    assert Doorkeeper().identify(scope(server=server)) == who


PIPELINE = Principal(name="shop", role=Role.CI, repositories=("github.com/acme/*",))
VIEWER = Principal(name="people", role=Role.VIEWER)


@pytest.mark.parametrize(
    ("who", "method", "path", "may"),
    [
        (PIPELINE, "POST", "/api/v1/ci/runs", True),
        (PIPELINE, "GET", "/api/v1/ci/runs", False),
        (PIPELINE, "POST", "/api/v1/ci/runs/", False),
        (PIPELINE, "POST", "/api/v1/reports/replay", False),
        (PIPELINE, "GET", "/", False),
        (VIEWER, "GET", "/api/v1/commits", True),
        (VIEWER, "HEAD", "/", True),
        (VIEWER, "POST", "/api/v1/ci/runs", False),
        (VIEWER, "DELETE", "/", False),
        (LOCAL, "POST", "/api/v1/reports/replay", True),
    ],
)
def test_role_decides_what_may_be_asked(who: Principal, method: str, path: str, may: bool) -> None:
    assert who.may_ask(method, path) is may


@pytest.mark.parametrize(
    ("who", "repository", "may"),
    [
        (PIPELINE, "github.com/acme/shop", True),
        (PIPELINE, "github.com/acmeshop/shop", False),
        (PIPELINE, "gitlab.com/acme/shop", False),
        (VIEWER, "github.com/acme/shop", False),
        (LOCAL, "gitlab.com/acme/shop", True),
    ],
)
def test_pipeline_speaks_of_its_repositories_only(who: Principal, repository: str, may: bool) -> None:
    assert who.may_state(repository) is may


# -- failures -------------------------------------------------------------------------------------------------


def test_failures_are_forgotten_after_a_minute() -> None:
    clock = Clock(0)
    failures = Failures(monotonic=clock)
    for _ in range(MOST_FAILURES):
        assert failures.wait_seconds("10.0.0.1") is None
        failures.count("10.0.0.1")
    assert failures.wait_seconds("10.0.0.1") == 60
    assert failures.wait_seconds("10.0.0.2") is None
    clock.seconds = 60
    assert failures.wait_seconds("10.0.0.1") is None
    failures.count("10.0.0.1")
    assert failures.wait_seconds("10.0.0.1") is None


def test_memory_of_failures_is_bounded() -> None:
    failures = Failures(monotonic=Clock(0))
    for number in range(MOST_ADDRESSES + MOST_TRUSTED + 100):
        failures.count(f"address-{number}")
        failures.trust(f"address-{number}", "ops")
    assert failures.size == MOST_ADDRESSES + MOST_TRUSTED


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::2:0:0:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_one_host_is_one_client(address: str, client: str) -> None:
    assert network(address) == client


# -- settings -------------------------------------------------------------------------------------------------


def test_tokens_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "first").write_text(SECRET, encoding="utf-8")
    (tmp_path / "shop").write_text(OTHER, encoding="utf-8")
    setting = ApiSetting.model_validate(
        {
            "token_file": tmp_path / "first",
            "tokens": [
                {"name": "shop", "role": "ci", "token_file": tmp_path / "shop", "repositories": ["GitHub.com/Acme/*"]}
            ],
        }
    )
    tokens = open_doorkeeper(setting).tokens
    first, shop = tokens.find(SECRET), tokens.find(OTHER)
    assert first is not None
    assert (first.name, first.role) == ("token", Role.OPERATOR)
    assert shop is not None
    assert (shop.name, shop.role, shop.repositories) == ("shop", Role.CI, ("github.com/acme/*",))


def test_token_of_the_settings_is_a_viewers_by_default() -> None:
    setting = ApiSetting.model_validate({"tokens": [{"name": "people", "token_file": "/x"}]})
    assert setting.tokens[0].role is Role.VIEWER


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([{"name": "a b", "token_file": "/x"}], "small letters"),
        ([{"name": "a"}], "token_file"),
        ([{"name": "a", "token_file": "/x", "role": "admin"}], "'viewer', 'operator' or 'ci'"),
        ([{"name": "a", "token_file": "/x", "role": "ci"}], "a has the role ci and no repositories"),
        ([{"name": "a", "token_file": "/x", "repositories": ["github.com/a/*"]}], "sees all repositories"),
        ([{"name": "a", "token_file": "/x", "role": "ci", "repositories": ["https://x/y"]}], "is no pattern"),
        ([{"name": "a", "token_file": "/x"}, {"name": "a", "token_file": "/y"}], "'a' is there twice"),
        ([{"name": "token", "token_file": "/x"}], "'token' is there twice"),
        ([{"name": f"a{number}", "token_file": "/x"} for number in range(101)], "has 101 entries"),
    ],
)
def test_tokens_that_make_no_sense_are_refused(tokens: list[dict[str, object]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ApiSetting.model_validate({"tokens": tokens})
