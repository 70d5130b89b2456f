"""Bodies of Flux and Argo CD: what is kept of them, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.model.notice_parsing import read_argocd, read_cdevent, read_flux, read_github, read_gitopsphase
from fluxtrail.model.notice_reading import MESSAGE_LIMIT, METADATA_LIMIT, VALUE_LIMIT
from fluxtrail.model.notices import ArgoNotice, ArgoResource, FluxNotice, Notice

EVENT: dict[str, Any] = {
    "involvedObject": {
        "kind": "Kustomization",
        "namespace": "flux-system",
        "name": "apps",
        "uid": "7d0c",
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "resourceVersion": "811",
    },
    "severity": "info",
    "timestamp": "2026-08-07T07:26:19Z",
    "message": "Reconciliation finished in 1.2s, next run in 10m0s",
    "reason": "ReconciliationSucceeded",
    "metadata": {"revision": f"main@sha1:{'a1' * 20}", "commit_status": "update", "cluster": "prod-1"},
    "reportingController": "kustomize-controller",
    "reportingInstance": "kustomize-controller-7c7b47f5f-8bhrp",
}
ARGO: dict[str, Any] = {
    "commitid": "a1" * 20,
    "phase": "Succeeded",
    "sync_status": "Synced",
    "health": "Healthy",
    "message": "ok",
    "resources": [{"status": "Synced", "health": {"status": "Healthy"}}, {"kind": "ConfigMap"}, None],
}
READERS: list[Callable[[bytes], Any]] = [
    read_flux,
    read_argocd,
    read_gitopsphase,
    lambda body: read_cdevent(body, {}),
    lambda body: read_github(body, "push"),
    lambda body: read_github(body, "pull_request"),
]


def body(given: dict[str, Any], **more: Any) -> bytes:
    return json.dumps(given | more).encode()


def test_flux_event_as_flux_posts_it() -> None:
    assert read_flux(body(EVENT)) == FluxNotice(
        kind="Kustomization",
        namespace="flux-system",
        name="apps",
        uid="7d0c",
        api_version="kustomize.toolkit.fluxcd.io/v1",
        severity="info",
        reason="ReconciliationSucceeded",
        message="Reconciliation finished in 1.2s, next run in 10m0s",
        metadata={"revision": f"main@sha1:{'a1' * 20}", "commit_status": "update", "cluster": "prod-1"},
        at=datetime(2026, 8, 7, 7, 26, 19, tzinfo=UTC),
        controller="kustomize-controller",
    )


def test_metadata_keys_stay_as_they_came() -> None:
    metadata = {
        "kustomize.toolkit.fluxcd.io/revision": "main/a",
        "revision": "main/b",
        "event.toolkit.fluxcd.io/x": "y",
    }
    assert read_flux(body(EVENT, metadata=metadata)).metadata == metadata


@pytest.mark.parametrize("field", [field for field in EVENT if field != "involvedObject"])
def test_null_is_as_good_as_absent(field: str) -> None:
    without = {key: value for key, value in EVENT.items() if key != field}
    assert read_flux(body(EVENT, **{field: None})) == read_flux(body(without))


def test_metadata_keeps_texts_numbers_and_truths_and_leaves_out_the_rest() -> None:
    metadata = {
        "text": "a",
        "number": 7,
        "share": 0.5,
        "yes": True,
        "no": False,
        "null": None,
        "list": [],
        "map": {},
        "": "x",
    }
    kept = read_flux(body(EVENT, metadata=metadata)).metadata
    assert kept == {"text": "a", "number": "7", "share": "0.5", "yes": "true", "no": "false"}


def test_what_is_long_or_many_is_cut() -> None:
    many = {f"key-{number}": "v" for number in range(METADATA_LIMIT + 5)} | {"k" * 500: "v"}
    long = read_flux(body(EVENT, message="ä" * MESSAGE_LIMIT, metadata={"k" * 500: "v", "a": "b" * 5000}))
    assert len(read_flux(body(EVENT, metadata=many)).metadata) == METADATA_LIMIT
    assert MESSAGE_LIMIT - 3 <= len(long.message.encode()) <= MESSAGE_LIMIT
    assert [(key, len(value.encode())) for key, value in long.metadata.items()] == [("a", VALUE_LIMIT)]


def test_secrets_do_not_come_in() -> None:
    secret = "ghp_" + "a" * 36
    notice = read_flux(
        body(
            EVENT,
            message=f"clone https://user:{secret}@github.com/acme/shop?key={secret} failed",
            metadata={"url": f"https://x:{secret}@host/path", "helm.toolkit.fluxcd.io/token": "abc", "apiKey": "short"},
        )
    )
    assert notice.message == "clone https://github.com/acme/shop failed"
    assert notice.metadata == {
        "url": "https://host/path",
        "helm.toolkit.fluxcd.io/token": "[redacted]",
        "apiKey": "[redacted]",
    }


def test_argo_notification_by_the_documented_template() -> None:
    assert read_argocd(body(ARGO)) == ArgoNotice(
        commit="a1" * 20,
        phase="Succeeded",
        sync_status="Synced",
        health="Healthy",
        message="ok",
        resources=(ArgoResource(status="Synced", health="Healthy"), ArgoResource(), ArgoResource()),
    )
    assert read_argocd(b'{"commitid": "a", "resources": null, "health": null}') == ArgoNotice(commit="a")


def test_gitopsphase_tells_its_two_bodies_apart() -> None:
    assert isinstance(read_gitopsphase(body(EVENT)), FluxNotice)
    assert isinstance(read_gitopsphase(body(ARGO)), ArgoNotice)
    assert isinstance(read_gitopsphase(body(ARGO, involvedObject=None)), ArgoNotice)
    nameless = read_gitopsphase(b'{"involvedObject": {"kind": "Kustomization"}, "reason": "info"}')
    assert isinstance(nameless, FluxNotice)
    assert (nameless.kind, nameless.name, nameless.reason) == ("Kustomization", "", "info")


@pytest.mark.parametrize(
    ("read", "given", "subject", "said"),
    [
        (read_flux, b"", "body", "it is empty"),
        (read_flux, b"  \n", "body", "it is empty"),
        (read_flux, b"{", "body", "it is not JSON"),
        (read_flux, b"[]", "body", "a list is not usable"),
        (read_flux, b"null", "body", "null is not usable"),
        (read_flux, b'{"message": "\xff"}', "body", "it is not UTF-8"),
        (read_flux, b'{"message": "\\udc00b"}', "body", "it is not JSON"),
        (read_flux, b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body", "nested too deeply"),
        (read_flux, b'{"metadata": {"x": ' + b'{"a":' * 100_000, "body", "nested too deeply"),
        (read_flux, b"{}", "involvedObject.kind", "null is not usable"),
        (read_flux, b'{"involvedObject": {"kind": ""}}', "involvedObject.kind", "'' is not usable"),
        (read_flux, b'{"involvedObject": {"kind": "Bucket"}}', "involvedObject.name", "it must name the object"),
        (read_flux, b'{"involvedObject": {"kind": 7}}', "involvedObject.kind", "'7' is not usable: expected"),
        (read_flux, b'{"involvedObject": "x"}', "involvedObject", "'x' is not usable: expected"),
        (read_flux, b'{"metadata": [1]}', "metadata", "a list is not usable"),
        (read_flux, b'{"metadata": {"a": 1e999}}', "metadata[...]", "'...' is not usable: number out of range"),
        (read_flux, b'{"reason": {"a": 1}}', "reason", "an object is not usable"),
        (read_flux, b'{"involvedObject": {"kind": 7, "name": "\xff"}}', "involvedObject.kind", "'...' is not usable"),
        (read_argocd, b"{}", "commitid", "null is not usable"),
        (read_argocd, b'{"resources": [null, {"status": 3}]}', "resources[1].status", "'3' is not usable"),
        (read_gitopsphase, b"{}", "involvedObject", "neither it nor commitid is there"),
    ],
)
def test_error_names_field_value_and_remedy(
    read: Callable[[bytes], Any], given: bytes, subject: str, said: str
) -> None:
    with pytest.raises(WireError) as caught:
        read(given)
    assert caught.value.subject == subject
    assert said in caught.value.message
    assert "a Flux event" in caught.value.message or "Argo CD" in caught.value.message


def test_error_shows_little_of_a_value_and_no_secret() -> None:
    with pytest.raises(WireError) as caught:
        read_flux(body({"involvedObject": "password=hunter2-and-more " + "x" * 10_000}))
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) < 400


def is_read_or_refused(read: Callable[[bytes], Any], given: bytes) -> bool:
    try:
        return isinstance(read(given), Notice)
    except WireError as error:
        return bool(error.subject)


@given(st.binary(max_size=300), st.sampled_from(READERS))
def test_any_bytes_are_read_or_refused(given: bytes, read: Callable[[bytes], Any]) -> None:
    assert is_read_or_refused(read, given)


KEYS = (
    "involvedObject|kind|name|metadata|message|commitid|resources|health|status|context|subject|content|id|type"
    "|repository|ref|number|pull_request|merged_at|change|data|customData|url|clone_url"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS.split("|")) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(JSON, st.sampled_from(READERS))
def test_any_json_is_read_or_refused(given: Any, read: Callable[[bytes], Any]) -> None:
    assert is_read_or_refused(read, json.dumps(given).encode())
