"""The description of the hooks listener: complete, and true of what is answered."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from benchmarks.fuzz_web import HOOKS, run_cases
from tests.web.hooks.conftest import argo, cdevent, flux, push
from tests.web.hooks.test_forges import PIPELINE, PUSHED, body

from fluxtrail.model.notices import Hook
from fluxtrail.web.hooks.answers import Reason, RefusedError, refusal
from fluxtrail.web.hooks.description import describe
from fluxtrail.web.hooks.reading import PATHS

CASES = 100
UNDESCRIBED = (Reason.NOT_FOUND, Reason.METHOD, Reason.DISCONNECTED)


def test_every_hook_is_described() -> None:
    assert set(PATHS.values()) == set(Hook)
    assert set(describe()["paths"]) == set(PATHS)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in UNDESCRIBED])
def test_every_refusal_is_described(reason: Reason) -> None:
    status = str(refusal(RefusedError(reason, "")).status)
    assert all(status in operation["post"]["responses"] for operation in describe()["paths"].values())


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/gitopsphase", flux()),
        ("/gitopsphase", argo()),
        ("/hooks/flux", flux(message=None)),
        ("/hooks/argocd", argo(resources=None)),
        ("/hooks/cdevents", cdevent()),
        ("/hooks/github", push()),
        ("/hooks/gitlab", body(PIPELINE)),
        ("/hooks/azuredevops", body(PUSHED)),
    ],
)
def test_what_senders_really_post_is_as_described(path: str, given: bytes) -> None:
    schema = describe()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema_rs.Draft202012Validator(schema).validate(json.loads(given))


@pytest.mark.timeout(60)
def test_requests_made_up_from_it_are_answered_as_it_says() -> None:
    tally = run_cases(CASES, number=1, only=HOOKS)[HOOKS]
    assert tally.failures == {}
    assert {200, 202, 400, 401} <= set(tally.statuses) <= {200, 202, 400, 401, 429}
    assert tally.cases >= CASES / 2
