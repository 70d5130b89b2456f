"""What GitHub's artifact metadata API takes: the fields of a deployment record and their limits, with its refusals.

Source: docs.github.com, REST API, "Artifact metadata"; the wording follows what its request schema says elsewhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CLUSTER_LIMIT = 1_000
JOB_LIMIT = 5_000
_STATUSES = ("deployed", "decommissioned")
_RISKS = ("critical-resource", "internet-exposed", "lateral-movement", "sensitive-data")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_TAG_LIMIT = 5
_TAG_LENGTH = 100

Json = Mapping[str, Any]

_ENTRY_LENGTHS = {
    "name": (1, 256),
    "digest": (71, 71),
    "version": (0, 100),
    "deployment_name": (1, 256),
    "github_repository": (0, 100),
}
_PLACE_LENGTHS = {"logical_environment": (1, 128), "physical_environment": (0, 128), "cluster": (0, 128)}
_ENTRY_FIELDS = frozenset(_ENTRY_LENGTHS) | {"status", "runtime_risks", "tags"}


class RefusedError(Exception):
    """An answer that is not the wanted one.

    Args:
        status: of HTTP.
        message: as the body says it.
        headers: that come with it.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def check_single(body: Any) -> None:
    """Pass a body of the single call.

    Raises:
        RefusedError: 422 with the first field that does not fit.
    """
    problems = [
        *_problems(body, _ENTRY_LENGTHS | _PLACE_LENGTHS, ("name", "digest", "status", "deployment_name")),
        *_missing(body, ("logical_environment",)),
        *_unknown(body, _ENTRY_FIELDS | set(_PLACE_LENGTHS) | {"return_records"}),
    ]
    _refuse(problems)


def check_bulk(body: Any, *, limit: int, more: tuple[str, ...] = ()) -> None:
    """Pass a body of the cluster call or of a job.

    Args:
        limit: how many entries it may have.
        more: top-level fields that only this call has.

    Raises:
        RefusedError: 422 with the first field that does not fit, 400 for a deployment name that comes twice.
    """
    places = {key: lengths for key, lengths in _PLACE_LENGTHS.items() if key != "cluster"}
    problems = [*_problems(body, places, ("logical_environment", "deployments"))]
    _refuse(problems)
    deployments = body["deployments"]
    if not isinstance(deployments, list) or not deployments:
        _refuse(["For 'properties/deployments', expected a non-empty array."])
    if len(deployments) > limit:
        _refuse([f"For 'properties/deployments', {len(deployments)} items exceed the maximum of {limit}."])
    _refuse(list(_unknown(body, {*places, "deployments", "partial_success", *more})))
    for number, entry in enumerate(deployments):
        where = f"deployments/{number}/"
        _refuse(list(_problems(entry, _ENTRY_LENGTHS, ("name", "digest", "deployment_name"), where=where)))
        _refuse(list(_unknown(entry, _ENTRY_FIELDS)))
    _check_unique(deployments)


def _check_unique(deployments: Sequence[Json]) -> None:
    name, count = Counter(entry["deployment_name"] for entry in deployments).most_common(1)[0]
    if count > 1:
        raise RefusedError(400, f"deployment_name must be unique within the request: {name[:80]!r} comes {count} times")


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise RefusedError(422, f"Invalid request.\n\n{problems[0]}")


def _problems(
    value: Any, lengths: Mapping[str, tuple[int, int]], required: tuple[str, ...], where: str = ""
) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"For '{where or 'body'}', expected an object."
        return
    yield from _missing(value, required, where=where)
    for field, (least, most) in lengths.items():
        text = value.get(field)
        if text is None:
            continue
        if not isinstance(text, str):
            yield f"For 'properties/{where}{field}', {text!r} is not a string."
        elif not least <= len(text) <= most:
            yield f"For 'properties/{where}{field}', {len(text)} characters are not {least} to {most}."
    yield from _odd_values(value, where)


def _missing(value: Json, required: tuple[str, ...], where: str = "") -> Iterator[str]:
    absent = [field for field in required if value.get(field) is None]
    if absent:
        yield f'"{where}{absent[0]}" wasn\'t supplied.'


def _unknown(value: Json, known: Any) -> Iterator[str]:
    odd = sorted(set(value) - set(known))
    if odd:
        yield f'"{odd[0]}" is not a permitted key.'


def _odd_values(value: Json, where: str) -> Iterator[str]:
    digest, status = value.get("digest"), value.get("status")
    if isinstance(digest, str) and not _DIGEST.fullmatch(digest):
        yield f"For 'properties/{where}digest', \"{digest[:80]}\" does not match ^sha256:[a-f0-9]{{64}}$."
    if status is not None and status not in _STATUSES:
        yield f"For 'properties/{where}status', {status!r} is not a member of {list(_STATUSES)}."
    risks = value.get("runtime_risks") or []
    if not isinstance(risks, list) or any(risk not in _RISKS for risk in risks) or len(set(risks)) != len(risks):
        yield f"For 'properties/{where}runtime_risks', {risks!r} are not unique members of {list(_RISKS)}."
    tags = value.get("tags") or {}
    if not isinstance(tags, dict) or len(tags) > _TAG_LIMIT:
        yield f"For 'properties/{where}tags', more than {_TAG_LIMIT} tags, or no object."
    elif any(not isinstance(text, str) or len(text) > _TAG_LENGTH for pair in tags.items() for text in pair):
        yield f"For 'properties/{where}tags', a key or value has more than {_TAG_LENGTH} characters."
