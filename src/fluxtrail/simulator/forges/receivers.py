"""Receivers of JSON: webhooks and subscribers that check who signed, and a sink of CDEvents."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from typing import Any, ClassVar

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import precise_time
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service

SIGNATURES = ("X-Signature", "X-Hub-Signature-256")
"""Where a signature may be, `sha256=<hex>` over the raw body."""
TIMESTAMP = "X-Fluxtrail-Timestamp"
TIMED_SIGNATURE = "X-Fluxtrail-Signature"
"""Over `<timestamp>.<body>`; it need not be there, and is checked where it is."""
_KEPT = 20_000
_OLDEST_SECONDS = 300.0


class Webhooks(Service):
    """`/webhooks/<name>`, as many as anybody likes. What is signed wrongly is refused and counted.

    Attributes:
        secrets: by name; a receiver without one takes everything.
        bodies: (name, what came, its time), the last twenty thousand.
        copies: how often a body came that had come already, by name.
    """

    system: ClassVar[str] = "webhook"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.secrets: dict[str, str] = {}
        self.bodies: deque[tuple[str, Any, str]] = deque(maxlen=_KEPT)
        self.copies: dict[str, int] = {}
        self._seen: set[tuple[str, bytes]] = set()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/webhooks/{name}", self.answering("webhook", self._take))

    def _take(self, asked: Asked) -> Answer:
        name = asked.part("name")
        secret = self.secrets.get(name)
        if secret and not (_is_signed(asked, secret) and _is_fresh(asked, secret)):
            self.violate(asked, "signature", f"a body for {name} was signed wrongly, or not at all")
            raise RefusedError(401, "The signature is missing or wrong")
        self.bodies.append((name, asked.body, precise_time(asked.now)))
        digest = hashlib.sha256(asked.raw).digest()
        if (name, digest) in self._seen:
            self.copies[name] = self.copies.get(name, 0) + 1
        self._seen.add((name, digest))
        body = asked.body if isinstance(asked.body, dict) else {}
        facts = {"sha": body.get("commit_id") or body.get("sha"), "state": body.get("state") or body.get("verdict")}
        texts = {key: value for key, value in facts.items() if isinstance(value, str)}
        self.recorder.write(
            at=asked.now,
            system=self.system,
            call="webhook",
            context=name,
            description=asked.raw.decode()[:4000],
            **texts,
        )
        return Answer(200, {})


class CDEvents(Service):
    """`/cdevents`: CloudEvents, structured or binary. The same event twice is taken, and counted.

    Attributes:
        events: in the structured form, the last twenty thousand.
        copies: how many came that had come already: the same source and id.
    """

    system: ClassVar[str] = "cdevents"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.events: deque[Json] = deque(maxlen=_KEPT)
        self.copies = 0
        self._seen: set[tuple[str, str]] = set()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/cdevents", self.answering("event", self._take))

    def _take(self, asked: Asked) -> Answer:
        event = _structured(asked)
        missing = [name for name in ("specversion", "id", "source", "type", "data") if not event.get(name)]
        if missing:
            raise RefusedError(400, f"a CloudEvent has no {missing[0]}")
        context, subject = event["data"].get("context") or {}, event["data"].get("subject") or {}
        differing = [name for name in ("id", "source", "type") if context.get(name) != event[name]]
        if event["specversion"] != "1.0" or differing or not subject.get("id"):
            raise RefusedError(
                400, f"a CDEvent's context differs from its envelope: {', '.join(differing) or 'subject'}"
            )
        key = (event["source"], event["id"])
        self.copies += key in self._seen
        self._seen.add(key)
        self.events.append(event)
        facts = {"context": event["type"], "id": event["id"], "description": str(subject["id"])}
        self.recorder.write(at=asked.now, system=self.system, call="event", **facts)
        return Answer(202)


def _structured(asked: Asked) -> Json:
    if not isinstance(asked.body, dict):
        raise RefusedError(400, "a CDEvent is a JSON object")
    headers = asked.request.headers
    if "ce-id" not in headers:
        return asked.body
    names = {name[3:].lower(): value for name, value in headers.items() if name.lower().startswith("ce-")}
    return {**names, "data": asked.body}


def _is_signed(asked: Asked, secret: str) -> bool:
    shown = [asked.request.headers.get(name, "") for name in SIGNATURES]
    return any(hmac.compare_digest(_signature(secret, asked.raw), text) for text in shown)


def _is_fresh(asked: Asked, secret: str) -> bool:
    """Whether a signature with a time, where there is one, is right and not of a body that was sent long ago."""
    moment = asked.request.headers.get(TIMESTAMP)
    if moment is None:
        return True
    wanted = _signature(secret, moment.encode() + b"." + asked.raw)
    is_right = hmac.compare_digest(wanted, asked.request.headers.get(TIMED_SIGNATURE, ""))
    return is_right and moment.isdigit() and abs(asked.now.timestamp() - int(moment)) <= _OLDEST_SECONDS


def _signature(secret: str, content: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
