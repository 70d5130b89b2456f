"""CDEvents → notices: in a CloudEvent (structured or binary) or by themselves. Pure.

A subject names its repository and its commit in many ways, and most name neither: what is found helps us look.
Source: CDEvents 0.5 (spec.md, cloudevents-binding.md, source-code-version-control.md), CloudEvents 1.0 HTTP binding.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from fluxtrail.model import notice_reading as reading
from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.notices import EventNotice
from fluxtrail.model.redaction import redact_url
from fluxtrail.model.repository import parse_repository

_WHAT = "a CDEvent, by itself or as the data of a CloudEvent"
_SHA_FIELDS = ("sha", "commit", "commitId", "commit_id", "revision")
_URL_FIELDS = ("url", "cloneUrl", "viewUrl", "htmlUrl", "uri")


class WireContext(msgspec.Struct, rename="camel"):
    id: str | None = None
    source: str | None = None
    type: str | None = None
    timestamp: str | None = None
    chain_id: str | None = None


class WireSubject(msgspec.Struct):
    id: str | None = None
    source: str | None = None
    content: dict[str, Any] | None = None


class WireEvent(msgspec.Struct, rename="camel"):
    """A CDEvent; or a CloudEvent in structured mode around one."""

    context: WireContext | None = None
    subject: WireSubject | str | None = None
    custom_data: Any = None
    specversion: str | None = None
    id: str | None = None
    source: str | None = None
    type: str | None = None
    time: str | None = None
    data: "WireEvent | None" = None


_event = msgspec.json.Decoder(WireEvent)


def read_cdevent(body: bytes, headers: Mapping[str, str]) -> EventNotice:
    """Return a CDEvent. Attributes of the CloudEvent around it fill in what it does not say itself.

    Args:
        headers: of the request, names in any case; `ce-*` and `content-type` are read.

    Raises:
        WireError: no event, several at once, or one without an id or a type.
    """
    lowered = {key.lower(): value for key, value in headers.items()}
    if "cloudevents-batch" in lowered.get("content-type", ""):
        raise reading.refuse("content-type", lowered["content-type"], "post one event at a time")
    outer = reading.decode(body, _event, what=_WHAT)
    inner = outer.data or outer
    context = inner.context or WireContext()
    wrapped = _wrapping(outer, lowered)
    identity = reading.short(context.id or wrapped.id)
    kind = reading.short(context.type or wrapped.type)
    if not kind:
        raise reading.refuse("context.type", context.type, f"it must say what happened; post {_WHAT}")
    if not identity:
        raise reading.refuse("context.id", context.id, f"it must be there, so that it counts once; post {_WHAT}")
    subject = inner.subject if isinstance(inner.subject, WireSubject) else WireSubject()
    return EventNotice(
        type=kind,
        id=identity,
        source=reading.short(context.source or wrapped.source),
        subject=reading.short(
            subject.id or (outer.subject if isinstance(outer.subject, str) else None) or lowered.get("ce-subject")
        ),
        chain=reading.short(context.chain_id),
        at=parse_timestamp(context.timestamp or wrapped.time),
        repository=_repository(subject, inner.custom_data),
        sha=_sha(subject, inner.custom_data),
        **_run(subject),
    )


def _run(subject: WireSubject) -> dict[str, str]:
    """Return what an event of CI says of its run, beyond which it is."""
    content = subject.content or {}
    texts = {name: text for name, text in content.items() if isinstance(text, str)}
    url = texts.get("uri") or texts.get("url") or ""
    package = subject.id if (subject.id or "").startswith("pkg:") else texts.get("artifactId", "")
    return {
        "pipeline": reading.short(texts.get("pipelineName")),
        "outcome": reading.short(texts.get("outcome")).lower(),
        "url": redact_url(url) if url.lower().startswith(("https://", "http://")) else "",
        "artifact": reading.short(package) if (package or "").startswith("pkg:") else "",
    }


def _wrapping(outer: WireEvent, headers: Mapping[str, str]) -> WireEvent:
    """Return the CloudEvent's own attributes, of its envelope or its headers."""
    return WireEvent(
        id=outer.id or headers.get("ce-id"),
        source=outer.source or headers.get("ce-source"),
        type=outer.type or headers.get("ce-type"),
        time=outer.time or headers.get("ce-time"),
    )


def _places(subject: WireSubject, custom: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in which a repository or a commit may stand, the most telling first."""
    content = subject.content or {}
    for place in (content, content.get("change"), content.get("repository"), custom):
        if isinstance(place, dict):
            yield place
            inner = place.get("content")
            if isinstance(inner, dict):
                yield inner


def _sha(subject: WireSubject, custom: Any) -> str:
    found = [place.get(field) for place in _places(subject, custom) for field in _SHA_FIELDS]
    change = (subject.content or {}).get("change")
    found += [change.get("id") if isinstance(change, dict) else change, subject.id]
    texts = (text.lower() for text in found if isinstance(text, str))
    return next((text for text in texts if is_sha(text)), "")


def _repository(subject: WireSubject, custom: Any) -> str:
    for url in _urls(subject, custom):
        try:
            parsed = parse_repository(url)
        except WireError:
            continue
        if parsed.scheme in ("https", "http", "ssh"):
            return parsed.fetch_url
    return ""


def _urls(subject: WireSubject, custom: Any) -> Iterator[str]:
    content = subject.content or {}
    named = [content.get("repository"), custom.get("repository") if isinstance(custom, dict) else None]
    for item in named:
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from _reference(item)
    is_repository = "name" in content and any(field in content for field in _URL_FIELDS)
    yield from _fields(content, _URL_FIELDS if is_repository else ())


def _reference(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reference to a repository may mean: its URL, or its host (`source`) with its path (`id`)."""
    inner = item.get("content")
    yield from _fields(item, _URL_FIELDS)
    yield from _fields(inner if isinstance(inner, dict) else {}, _URL_FIELDS)
    identity, source = item.get("id"), item.get("source")
    if not isinstance(identity, str):
        return
    if "://" in identity:
        yield unquote(identity)
    elif isinstance(source, str) and source and "/" in identity:
        base = source if "://" in source else f"https://{source.strip('/')}"
        yield f"{base.rstrip('/')}/{identity.lstrip('/')}"


def _fields(item: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for field in names:
        value = item.get(field)
        if isinstance(value, str):
            yield value
