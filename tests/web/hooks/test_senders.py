"""Who may post: signatures over the raw bytes, secrets that are shown, and nobody else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.web.hooks.conftest import (
    FORGE_SECRET,
    PROD_SECRET,
    Hands,
    Post,
    World,
    argo,
    counted,
    flux,
    push,
    sign,
    signed,
)

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.notices import Hook, KeptNotice
from fluxtrail.web.hooks.app import HooksApp
from fluxtrail.web.hooks.pace import Pace
from fluxtrail.web.hooks.reading import PATHS
from fluxtrail.web.hooks.senders import Sender, Senders
from fluxtrail.web.hooks.signatures import Means, Proof, read_proof

Kept = Callable[[], Awaitable[list[KeptNotice]]]
BODY = flux()


def basic(secret: str, user: str = "anybody") -> str:
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


RIGHT = {
    "sha256": {"X-Signature": sign(BODY)},
    "sha224": {"X-Signature": sign(BODY, algorithm="sha224")},
    "sha384": {"X-Signature": sign(BODY, algorithm="sha384")},
    "sha512": {"X-Signature": sign(BODY, algorithm="sha512")},
    "upper case": {"X-Signature": f"SHA256={sign(BODY).partition('=')[2].upper()}"},
    "as GitHub": {"X-Hub-Signature-256": sign(BODY)},
    "bearer": {"Authorization": f"Bearer {PROD_SECRET}"},
    "basic": {"Authorization": basic(PROD_SECRET)},
    "basic without a user": {"Authorization": basic(PROD_SECRET, "")},
    "signature first": {"X-Signature": sign(BODY), "Authorization": "Bearer of a proxy's own"},
}
WRONG = {
    "of another body": {"X-Signature": sign(BODY + b" ")},
    "of nobody": {"X-Signature": sign(BODY, "some other secret of somebody")},
    "of one who may not": {"X-Signature": sign(BODY, FORGE_SECRET)},
    "cut": {"X-Signature": sign(BODY)[:-2]},
    "empty": {"X-Signature": ""},
    "no digits": {"X-Signature": "sha256=" + "x" * 64},
    "no algorithm": {"X-Signature": sign(BODY).partition("=")[2]},
    "a weak algorithm": {"X-Signature": f"sha1={hashlib.sha1(PROD_SECRET.encode() + BODY).hexdigest()}"},
    "another algorithm": {"X-Signature": sign(BODY).replace("sha256", "md5")},
    "an algorithm's name for another": {"X-Signature": sign(BODY).replace("sha256", "sha512")},
    "unsigned": {"X-Signature": f"sha256={hashlib.sha256(BODY).hexdigest()}"},
    "wrong, with the secret": {"X-Signature": sign(b""), "Authorization": f"Bearer {PROD_SECRET}"},
    "bearer": {"Authorization": f"Bearer {PROD_SECRET}x"},
    "bearer of nothing": {"Authorization": "Bearer "},
    "basic": {"Authorization": basic(PROD_SECRET[:-1])},
    "the secret as user": {"Authorization": f"Basic {base64.b64encode(PROD_SECRET.encode() + b':').decode()}"},
    "basic that is not base64": {"Authorization": "Basic %%%"},
    "another scheme": {"Authorization": f"Digest {PROD_SECRET}"},
    "the secret alone": {"Authorization": PROD_SECRET},
}


@pytest.mark.parametrize("headers", RIGHT.values(), ids=RIGHT.keys())
async def test_who_has_the_secret_is_known_by_name(post: Post, kept: Kept, headers: dict[str, str]) -> None:
    assert (await post("/hooks/flux", BODY, headers)).status == 202
    (notice,) = await kept()
    assert notice.sender == "prod"


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "anonymous"])
@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_signature_is_refused_also_where_none_is_needed(
    post: Post, kept: Kept, app: HooksApp, world: World, is_open: bool, headers: dict[str, str]
) -> None:
    if is_open:
        app._paces[Hook.FLUX] = Pace(60, world.hands)
    answer = await post("/hooks/flux", BODY, headers)
    assert (answer.status, answer.problem["code"]) == (401, "wrong_signature")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert PROD_SECRET not in answer.body.decode()
    assert await kept() == []


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_signature_nothing_is_taken(post: Post, kept: Kept, path: str) -> None:
    answer = await post(path, BODY, {"X-GitHub-Event": "push"})
    assert (answer.status, answer.problem["code"]) == (401, "unsigned")
    assert "X-Signature" in answer.problem["detail"]
    assert await kept() == []


async def test_a_secret_in_the_url_is_none(post: Post) -> None:
    assert (await post(f"/hooks/flux?token={PROD_SECRET}", BODY)).status == 401


class TestAnonymous:
    @pytest.fixture
    def world(self) -> World:
        return World(anonymous={Hook.GITOPSPHASE: 2})

    async def test_where_settings_allow_it_a_few_come_in_unsigned(
        self, post: Post, kept: Kept, world: World, app: HooksApp
    ) -> None:
        assert [(await post("/gitopsphase", argo())).status for _ in range(3)] == [200, 200, 429]
        refused = await post("/gitopsphase", argo())
        assert (refused.problem["code"], refused.headers["retry-after"]) == ("too_many", "30")
        world.hands.seconds += 30
        assert (await post("/gitopsphase", argo())).status == 200
        assert [notice.is_signed for notice in await kept()] == [False, False, False]
        assert counted(app)["accepted", "gitopsphase", "false"] == 3

    async def test_those_who_sign_are_not_slowed_by_them(self, post: Post, kept: Kept) -> None:
        for _ in range(4):
            await post("/gitopsphase", argo())
        assert (await post("/gitopsphase", argo(), signed(argo()))).status == 200
        assert [notice.sender for notice in await kept()] == ["", "", "prod"]

    async def test_another_hook_stays_closed(self, post: Post) -> None:
        assert (await post("/hooks/flux", BODY)).status == 401

    async def test_a_stranger_does_not_use_up_the_key_of_somebody_who_signs(self, post: Post, kept: Kept) -> None:
        assert (await post("/gitopsphase", BODY)).status == 200
        assert (await post("/gitopsphase", BODY, signed(BODY))).status == 200
        assert [notice.sender for notice in await kept()] == ["", "prod"]


async def test_a_sender_is_refused_at_a_hook_that_is_not_its_own(post: Post, kept: Kept) -> None:
    body = push()
    headers = {"X-Hub-Signature-256": sign(body, PROD_SECRET), "X-GitHub-Event": "push"}
    assert (await post("/hooks/github", body, headers)).status == 401
    assert await kept() == []


class TestRotation:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "secret"
        path.write_text(f"{PROD_SECRET}\n")
        return path

    @pytest.fixture
    def world(self, file: Path) -> World:
        return World(senders=[Sender(name="prod", secret_file=file)])

    async def test_a_rotated_secret_counts_without_a_restart(
        self, post: Post, kept: Kept, world: World, file: Path
    ) -> None:
        assert (await post("/hooks/flux", BODY, signed(BODY))).status == 202
        following = file.with_name("next")
        following.write_text("the secret that takes its place")
        following.replace(file)
        world.hands.seconds += 2
        assert (await post("/hooks/flux", BODY, signed(BODY))).status == 401
        other = flux("other")
        assert (await post("/hooks/flux", other, signed(other, "the secret that takes its place"))).status == 202
        assert len(await kept()) == 2

    async def test_while_a_secret_is_rotated_both_count(self, post: Post, kept: Kept, world: World, file: Path) -> None:
        new = "the secret that takes its place"
        file.write_text(f"{new}\n\n {PROD_SECRET}\r\n")
        world.hands.seconds += 2
        bodies = [flux("one"), flux("two"), flux("three")]
        assert (await post("/hooks/flux", bodies[0], signed(bodies[0]))).status == 202
        assert (await post("/hooks/flux", bodies[1], signed(bodies[1], new))).status == 202
        assert (await post("/hooks/flux", bodies[2], signed(bodies[2], f"{new}\n"))).status == 401
        assert {notice.sender for notice in await kept()} == {"prod"}
        file.write_text(f"{new}\n")
        world.hands.seconds += 2
        assert (await post("/hooks/flux", bodies[2], signed(bodies[2]))).status == 401
        assert (await post("/hooks/flux", bodies[2], signed(bodies[2], new))).status == 202

    async def test_a_file_that_is_away_changes_nothing(self, post: Post, world: World, file: Path) -> None:
        file.unlink()
        world.hands.seconds += 2
        assert (await post("/hooks/flux", BODY, signed(BODY))).status == 202


@pytest.mark.parametrize(
    ("senders", "message"),
    [
        ([Sender(name="a", secret="short")], "a: its secret has 5 characters, at least 16"),
        ([Sender(name="a", secret=f"{'x' * 16}\nshort")], "a: its secret has 5 characters, at least 16"),
        (
            [Sender(name="a", secret="\n".join(f"secret number {number:04}" for number in range(6)))],
            "a: it has 6 secrets",
        ),
        ([Sender(name="a", secret=" \n ")], "a: it has 0 secrets"),
        ([Sender(name="a")], "a: give it either secret_file or secret"),
        ([Sender(name="a", secret="x" * 16, secret_file=Path("/x"))], "a: give it either"),
        ([Sender(name="a", secret_file=Path("/does/not/exist"))], "cannot be read"),
        ([Sender(name="a", secret="x" * 16), Sender(name="a", secret="y" * 16)], "'a' is the name of no or of several"),
        ([Sender(name="", secret="x" * 16)], "'' is the name of no or of several"),
    ],
)
def test_a_sender_that_cannot_be_one_is_refused_at_the_start(senders: list[Sender], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Senders(senders, Hands())


def test_no_secret_is_shown_by_accident() -> None:
    sender = Sender(name="prod", secret=PROD_SECRET)
    assert PROD_SECRET not in f"{sender} {read_proof(None, 'Bearer ' + PROD_SECRET)}"


def test_a_proof_of_nothing_is_of_nobody() -> None:
    assert read_proof(None, None) is None
    assert not Proof(Means.SIGNATURE).is_of(b"secret", b"body")
    assert not Proof(Means.SECRET).is_of(b"secret", b"body")


def test_pace_of_nothing_lets_nobody_in() -> None:
    hands = Hands()
    pace = Pace(0, hands)
    hands.seconds += 3600
    assert pace.take() == 60.0


def test_a_quiet_hour_does_not_buy_more_than_a_minute() -> None:
    hands = Hands()
    pace = Pace(3, hands)
    hands.seconds += 3600
    assert [pace.take() for _ in range(4)] == [None, None, None, 20.0]
