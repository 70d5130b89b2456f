"""What is kept of Events, in every shape that they come in."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from fluxtrail.model.events import Event, WireEvents, project_events

UID = "uid-1"
BASE: dict[str, Any] = {"involvedObject": {"uid": UID}, "reason": "FailedMount", "message": "no", "type": "Warning"}


def at(second: int, micro: int = 0) -> datetime:
    return datetime(2026, 3, 1, 12, 0, second, micro, tzinfo=UTC)


def project(*items: Any) -> list[Event]:
    return project_events(msgspec.json.decode(msgspec.json.encode({"items": items}), type=WireEvents), UID)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"firstTimestamp": "2026-03-01T12:00:01Z", "lastTimestamp": "2026-03-01T12:00:09Z", "count": 3}, at(9)),
        ({"eventTime": "2026-03-01T12:00:02.000005Z", "lastTimestamp": None, "firstTimestamp": None}, at(2, 5)),
        (
            {
                "eventTime": "2026-03-01T12:00:02.000000Z",
                "lastTimestamp": None,
                "series": {"count": 2, "lastObservedTime": "2026-03-01T12:00:07.000001Z"},
            },
            at(7, 1),
        ),
        ({"metadata": {"creationTimestamp": "2026-03-01T12:00:04Z"}, "series": None}, at(4)),
    ],
    ids=["counted", "once", "series", "made"],
)
def test_time_is_the_last_that_it_happened(times: dict[str, Any], expected: datetime) -> None:
    assert [event.seen_at for event in project(BASE | times)] == [expected]


def test_words_are_redacted_and_the_container_is_read() -> None:
    about = {"uid": UID, "fieldPath": "spec.containers{app}"}
    message = "Get http://u:secret@10.0.0.1/healthz?token=abc: refused"
    (found,) = project(BASE | {"involvedObject": about, "message": message, "lastTimestamp": "2026-03-01T12:00:01Z"})
    assert (found.reason, found.container, found.is_warning) == ("FailedMount", "app", True)
    assert "secret" not in found.message
    assert "abc" not in found.message


def test_what_makes_no_sense_is_left_out_and_the_rest_is_in_order() -> None:
    good = [BASE | {"lastTimestamp": f"2026-03-01T12:00:0{second}Z", "type": None} for second in (5, 3)]
    bad = [
        None,
        7,
        {"reason": ["FailedMount"]},
        BASE,
        BASE | {"lastTimestamp": "soon"},
        BASE | {"reason": None, "lastTimestamp": "2026-03-01T12:00:01Z"},
        BASE | {"involvedObject": {"uid": "another"}, "lastTimestamp": "2026-03-01T12:00:01Z"},
        BASE | {"involvedObject": None, "lastTimestamp": "2026-03-01T12:00:01Z"},
    ]
    assert [(event.seen_at, event.is_warning) for event in project(*bad, *good)] == [(at(3), False), (at(5), False)]
    assert project_events(WireEvents(items=None), UID) == []
