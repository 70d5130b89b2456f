"""Receivers check who signed, and notice what comes twice."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

BODY = json.dumps({"commit_id": "a" * 40, "state": "success"}).encode()


def signature(secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()


def event(**more: Any) -> dict[str, Any]:
    context = {"id": "1", "source": "https://flux", "type": "dev.cdevents.service.deployed.0.3.0", "version": "0.5.0"}
    return {**context, "specversion": "1.0", "data": {"context": context, "subject": {"id": "shop"}}} | more


async def test_webhook_with_a_secret_wants_a_signature(forge: Caller) -> None:
    forge.forges.webhooks.secrets["ours"] = "secret"
    assert await forge.send("/webhooks/ours", BODY) == 401
    assert await forge.send("/webhooks/ours", BODY, **{"X-Signature": signature("another")}) == 401
    assert await forge.send("/webhooks/ours", BODY, **{"X-Signature": signature("secret")}) == 200
    assert await forge.send("/webhooks/ours", BODY, **{"X-Hub-Signature-256": signature("secret")}) == 200
    assert await forge.send("/webhooks/anybody", BODY) == 200
    assert forge.violations() == {"signature": 2}
    assert forge.forges.webhooks.copies == {"ours": 1}
    [write, *_] = forge.forges.recorder.since(0)
    assert (write.context, write.sha, write.state) == ("ours", "a" * 40, "success")


async def test_signature_with_a_time_is_checked_where_it_is_there(forge: Caller) -> None:
    forge.forges.trust(tokens={}, webhooks={"ours": "secret"})

    async def send(moment: str, secret: str) -> int:
        wanted = hmac.new(secret.encode(), moment.encode() + b"." + BODY, hashlib.sha256).hexdigest()
        timed = {"X-Fluxtrail-Timestamp": moment, "X-Fluxtrail-Signature": f"sha256={wanted}"}
        return await forge.send("/webhooks/ours", BODY, **{"X-Signature": signature("secret")}, **timed)

    now = int(forge.clock.now().timestamp())
    assert await send(str(now), "secret") == 200
    assert await send(str(now - 301), "secret") == 401
    assert await send(str(now), "another") == 401
    assert forge.violations() == {"signature": 2}


async def test_cdevents_are_taken_in_both_forms(forge: Caller) -> None:
    assert (await forge.post("/cdevents", event()))[0] == 202
    named = {name: value for name, value in event().items() if name != "data"}
    headers = {f"ce-{name}": str(value) for name, value in named.items()}
    assert (await forge.post("/cdevents", event()["data"], **headers))[0] == 202
    assert forge.forges.cdevents.copies == 1
    assert [item["id"] for item in forge.forges.cdevents.events] == ["1", "1"]


async def test_cdevent_that_contradicts_its_envelope_is_refused(forge: Caller) -> None:
    assert (await forge.post("/cdevents", event(id="2")))[0] == 400
    assert (await forge.post("/cdevents", event(specversion="0.3")))[0] == 400
    assert (await forge.post("/cdevents", event(data={"subject": {"id": "x"}})))[0] == 400
    assert (await forge.post("/cdevents", {"type": "x"}))[0] == 400
