"""CDEvents, by themselves and in CloudEvents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fluxtrail.model.errors import WireError
from fluxtrail.model.notice_events import read_cdevent
from fluxtrail.model.notices import EventNotice

SHA = "a1" * 20
CONTEXT = {
    "specversion": "0.5.0",
    "id": "271069a8",
    "chainId": "4c8cb7dd",
    "source": "/ci/tekton",
    "type": "dev.cdevents.change.merged.0.3.0",
    "timestamp": "2026-08-07T07:26:19.5Z",
}
MERGED: dict[str, Any] = {
    "context": CONTEXT,
    "subject": {"id": "change-12", "content": {"repository": {"id": "acme/shop", "source": "https://github.com"}}},
}


def read(given: dict[str, Any], **headers: str) -> EventNotice:
    return read_cdevent(json.dumps(given).encode(), {key.replace("_", "-"): value for key, value in headers.items()})


def subject(content: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return {"context": CONTEXT, "subject": {"id": "x", "content": content} | given}


def test_event_by_itself() -> None:
    assert read(MERGED) == EventNotice(
        type="dev.cdevents.change.merged.0.3.0",
        id="271069a8",
        source="/ci/tekton",
        subject="change-12",
        chain="4c8cb7dd",
        at=datetime(2026, 8, 7, 7, 26, 19, 500_000, tzinfo=UTC),
        repository="https://github.com/acme/shop",
    )


def test_structured_and_binary_cloud_events_say_the_same() -> None:
    around = {"specversion": "1.0", "id": "outer", "source": "/outer", "type": "t", "subject": "change-12"}
    binary = read(MERGED, Ce_Id="outer", Ce_Type="t", Content_Type="application/json")
    assert read(around | {"data": MERGED}) == binary == read(MERGED)


def test_attributes_of_the_cloud_event_fill_in() -> None:
    attributes = {"id": "outer", "source": "/outer", "type": "t", "time": "2026-08-07T07:26:19Z", "subject": "s"}
    structured = read(attributes | {"data": {}})
    binary = read({}, **{f"CE_{key}": value for key, value in attributes.items()})
    assert structured == binary
    assert (structured.type, structured.id, structured.source, structured.subject) == ("t", "outer", "/outer", "s")
    assert structured.at == datetime(2026, 8, 7, 7, 26, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        subject({"change": {"id": SHA.upper()}}),
        subject({"change": SHA}),
        subject({"sha": SHA}),
        subject({"commit": "main", "revision": SHA}),
        subject({"change": {"content": {"commitId": SHA}}}),
        subject(None, id=SHA),
        MERGED | {"customData": {"commit": SHA}},
    ],
)
def test_commit_is_found_wherever_it_stands(given: dict[str, Any]) -> None:
    assert read(given).sha == SHA


@pytest.mark.parametrize(
    "content",
    [
        {"repository": "https://me:secret@github.com/acme/shop"},
        {"repository": {"id": "https://github.com/acme/shop"}},
        {"repository": {"id": "acme/shop", "source": "github.com"}},
        {"repository": {"id": "r-7", "content": {"url": "https://github.com/acme/shop"}}},
        {"repository": {"cloneUrl": 7, "url": "https://github.com/acme/shop"}},
        {"name": "shop", "owner": "acme", "url": "https://github.com/acme/shop"},
    ],
)
def test_repository_is_found_wherever_it_stands(content: dict[str, Any]) -> None:
    assert read(subject(content)).repository == "https://github.com/acme/shop"


def test_repository_of_custom_data() -> None:
    assert read(subject() | {"customData": {"repository": "https://github.com/acme/shop"}}).repository


@pytest.mark.parametrize(
    "content",
    [
        {"repository": {"id": "shop", "source": "my-git.example"}},
        {"repository": {"id": 7}},
        {"repository": ["x"]},
        {"repository": "file:///etc/passwd"},
        {"repository": "not a URL"},
        {"url": "https://ci.example.com/run/7"},
        None,
    ],
)
def test_what_names_no_repository_is_none(content: dict[str, Any] | None) -> None:
    assert read(subject(content)).repository == ""


@pytest.mark.parametrize(
    ("given", "headers", "field"),
    [
        ({}, {}, "context.type"),
        ({"context": {"type": "t"}}, {}, "context.id"),
        ({"context": {"id": 7}}, {}, "context.id"),
        (MERGED, {"Content_Type": "application/cloudevents-batch+json"}, "content-type"),
    ],
)
def test_error_names_the_field(given: dict[str, Any], headers: dict[str, str], field: str) -> None:
    with pytest.raises(WireError) as caught:
        read(given, **headers)
    assert caught.value.subject == field
