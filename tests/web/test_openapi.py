from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.cli.golden import Golden
from tests.web.conftest import Ask
from tests.web.worlds import NOW, World

from fluxtrail.web.app import create_app, describe

GOLDEN = Path(__file__).parent / "golden"
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
WORLD = World()
schema = schemathesis.openapi.from_asgi(
    "/api/v1/openapi.json",
    create_app(
        answers=WORLD,
        report=WORLD,
        now=lambda: NOW,
        allowed_hosts=["*"],
        records=WORLD,
        chains=WORLD,
        reports=WORLD,
    ),
)


async def test_the_document_is_as_it_was(ask: Ask, golden: Golden) -> None:
    answer = await ask("api", "/api/v1/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    golden.check(GOLDEN / "openapi.json", answer.body.decode() + "\n")


def test_every_operation_is_described() -> None:
    document: dict[str, Any] = msgspec.json.decode(describe())
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 27
    for operation in operations:
        assert operation["summary"]
        assert "application/problem+json" in operation["responses"]["400"]["content"]


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_the_document_says(case: schemathesis.Case[Any]) -> None:
    # The feed's other form has no end; tests of its own read it.
    case.call_and_validate(checks=CHECKS, headers={"Accept": "application/json"})
