"""Everything that reads bytes of others, each with good documents to damage and the errors it may raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
from benchmarks import fuzz_seeds as seeds
from benchmarks.mutations import Seed, seed_of

from fluxtrail.clusters.answers import UNREADABLE, parse_retry_after, parse_status, refusal
from fluxtrail.clusters.clock import SystemClock
from fluxtrail.clusters.held import HeldObjects
from fluxtrail.clusters.subjects import WatchOptions, WatchStats
from fluxtrail.clusters.transport import ByteStream
from fluxtrail.clusters.watchpass import Position, WatchPass
from fluxtrail.credentials.dockerconfig import parse_docker_config
from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, UpstreamError, WireError
from fluxtrail.model.image import find_digest, is_digest, split_image
from fluxtrail.model.moment import parse_http_date, parse_timestamp
from fluxtrail.model.observation import Observation
from fluxtrail.model.projecting import project_custom
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.revision import find_revision, followed_sha, parse_revision, same_content
from fluxtrail.model.sources import canonical_place, is_place, url_to_ask
from fluxtrail.model.wire_workloads import WireCustom
from fluxtrail.remotes import waits
from fluxtrail.remotes.git.command import GitCommand
from fluxtrail.remotes.git.environment import GitEnvironment
from fluxtrail.remotes.git.failures import CorruptCloneError
from fluxtrail.remotes.git.history import LogParser
from fluxtrail.remotes.git.objects import ObjectReader, parse_tree, split_path
from fluxtrail.remotes.git.progress import parse_progress
from fluxtrail.remotes.git.refs import parse_refs, safe_pin_name
from fluxtrail.remotes.github import limits
from fluxtrail.remotes.oci import failures
from fluxtrail.remotes.oci.challenges import check_realm, parse_challenges
from fluxtrail.remotes.oci.endpoint import Endpoint
from fluxtrail.remotes.oci.manifests import find_image, find_layer, parse_image_config, parse_manifest
from fluxtrail.remotes.oci.references import Reference, parse_reference, resolve_revision
from fluxtrail.remotes.otlp import answers
from fluxtrail.remotes.otlp.http_wire import HttpWire
from fluxtrail.remotes.otlp.options import OtlpOptions
from fluxtrail.runtime.subjects import KINDS, WORKLOAD_KINDS, Kind, owner_kind
from fluxtrail.trail.strategies.exporter_info import LAYER_TYPE, parse_exporter_info
from fluxtrail.trail.strategies.hydrator import parse_hydrator_metadata
from fluxtrail.trail.strategies.origin import export_of_origin

NOW = seeds.AT
POSIX = NOW.timestamp()
Errors = tuple[type[BaseException], ...]


@dataclass(frozen=True)
class Parser:
    """`parse` reads one document and returns all that came of it; only `errors` may come out of it instead."""

    name: str
    seeds: Sequence[Seed]
    parse: Callable[[bytes], object]
    errors: Errors


def _text(data: bytes) -> str:
    """As text comes from git, from JSON, or from a header."""
    return data.decode(("utf-8", "latin-1")[len(data) % 2], "replace")


# -- registries ---------------------------------------------------------------------------------------------------


def _manifest(data: bytes) -> object:
    manifest = parse_manifest(data, media_type="application/json; charset=utf-8")
    return manifest, manifest.is_index, find_layer(manifest, LAYER_TYPE), find_image(manifest, "linux/arm/v7")


def _docker_config(data: bytes) -> object:
    config = parse_docker_config(data, subject="config.json")
    return config, config.find_login("ghcr.io", "acme/x"), config.find_helper("gcr.io", "x"), repr(config)


_REGISTRY = Endpoint.of(Reference(registry="docker.io", repository="x", tag="y"), insecure=False)


def _challenge(data: bytes) -> object:
    found = parse_challenges(_text(data).splitlines())
    realms = [challenge.parameters["realm"] for challenge in found if "realm" in challenge.parameters]
    return found, [check_realm(realm, _REGISTRY, realms={}) for realm in realms]


def _reference(data: bytes) -> object:
    text = _text(data)
    with suppress(WireError):
        resolve_revision("oci://ghcr.io/acme/x", text)
    found = parse_reference(text)
    return found, str(found), found.repository_url()


def _refusal(data: bytes) -> object:
    headers = {"retry-after": _text(data[:100]), "date": _text(data[-40:])}
    return failures.translate(429, headers, data, subject="x", secrets=("hunter2",), now=POSIX)


# -- clusters -----------------------------------------------------------------------------------------------------


def _objects(kind: Kind) -> Callable[[bytes], object]:
    decode = msgspec.json.Decoder(kind.wire).decode

    def parse(data: bytes) -> object:
        try:
            wire = decode(data)
        except UNREADABLE:
            return None
        return kind.project(wire)

    return parse


_WORKLOAD_KINDS = (*WORKLOAD_KINDS, owner_kind("argoproj.io", "Rollout"))
_ANY_KIND = Kind(
    "argoproj.io", "Rollout", "", (), WireCustom, partial(project_custom, group="argoproj.io", kind="Rollout")
)


def _image(data: bytes) -> object:
    text = _text(data)
    digest, (name, tag) = find_digest(text), split_image(text)
    assert digest in text
    return digest, is_digest(digest), name, tag


class _Chunks:
    """A body that comes in pieces, none of them where a line ends."""

    has_waited = True

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._step = data, 0, 1 + len(data) // 3

    async def read(self, *, idle_seconds: float) -> bytes:
        part = self._data[self._at : self._at + self._step]
        self._at += self._step
        return part


_SUBJECTS = [kind.subject(()) for kind in KINDS if kind.kind in ("Kustomization", "GitRepository")]


def _watch(data: bytes) -> object:
    """One stream from its first byte to its end, into what is held."""
    seen: list[Observation[Any]] = []
    stats, position, problems = WatchStats(), Position(version="1", last_version="1"), list[Any]()
    subject = _SUBJECTS[len(data) % len(_SUBJECTS)]
    held = HeldObjects[Any](subject, stats, problems.append)
    is_initial = data[-2:-1] == b"}"
    if is_initial:
        held.begin_round()
    watch = WatchPass[Any](
        subject,
        held,
        position,
        options=WatchOptions(),
        clock=SystemClock(),
        stats=stats,
        is_initial=is_initial,
        fence=None,
        on_alive=lambda: None,
    )

    async def emit(batch: Sequence[Observation[Any]]) -> None:
        seen.extend(batch)

    _drive(watch.run(cast("ByteStream", _Chunks(data)), emit))
    return seen, problems, held


def _drive(coroutine: Any) -> None:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def _status(data: bytes) -> object:
    status = parse_status(data)
    return status, str(refusal(status.code or 500, status, subject="x"))


# -- text ---------------------------------------------------------------------------------------------------------


def _revision(data: bytes) -> object:
    text = _text(data)
    same = same_content(text, f"main@sha1:{seeds.SHA}"), followed_sha(text, text), export_of_origin(text, text)
    found = parse_revision(text)
    assert find_revision(found.text) == found
    return found, found.short, found.commit_sha, same


def _url(data: bytes) -> object:
    text = _text(data)
    shown = redact_url(text), is_place(text), canonical_place(text), url_to_ask(text, is_insecure=True)
    found = parse_repository(text)
    return found, found.owner, found.name, found.web_url, found.commit_url(seeds.SHA), shown


def _message(data: bytes) -> object:
    cleared = redact(_text(data), secrets=("hunter2",))
    assert len(cleared.encode()) <= 1024 + len("…")
    return cleared


def _dates(data: bytes) -> object:
    text = _text(data)
    headers = {"retry-after": text, "date": text, "ratelimit-remaining": "0", "ratelimit-reset": text}
    github = {"retry-after": text, "date": text, "x-ratelimit-remaining": "0", "x-ratelimit-reset": text}
    found = limits.find_wait_seconds(200, github, "", now=POSIX), limits.find_wait_seconds(403, github, "", now=POSIX)
    assert all(wait is not None and 0 < wait <= waits.LONGEST_WAIT_SECONDS for wait in found), found
    return (
        found,
        parse_http_date(text),
        parse_retry_after(text, now=NOW),
        answers.parse_retry_after(text, now=NOW),
        waits.find_wait_seconds(429, headers, now=POSIX),
        waits.find_wait_seconds(200, {**headers, "retry-after": "x"}, now=POSIX),
        failures.find_wait_seconds(headers, now=POSIX),
    )


def _timestamp(data: bytes) -> object:
    found = parse_timestamp(_text(data))
    assert found is None or found.tzinfo is not None
    return found


# -- git ----------------------------------------------------------------------------------------------------------


def _log(data: bytes) -> object:
    parser = LogParser()
    for part in _in_parts(data):
        parser.feed(part)
    return parser.finish()


def _in_parts(data: bytes) -> Iterable[bytes]:
    step = 1 + len(data) // 7
    return (data[at : at + step] for at in range(0, len(data), step))


def _tree(data: bytes) -> object:
    entries = parse_tree(data, digest_bytes=20)
    for entry in entries:
        try:
            split_path(entry.name)
        except WireError:
            continue
    return entries


def _refs(data: bytes) -> object:
    found = parse_refs(data)
    return found, [safe_pin_name(name) for name in found.branches if name]


def _progress(data: bytes) -> object:
    return [parse_progress(line, repository="x") for line in _text(data).splitlines()]


class _Answered:
    """A git that answers every question with the same bytes, and then ends."""

    stdin: Any
    stderr = None
    returncode = 0
    pid = 2**31 - 1  # of nobody

    def __init__(self, data: bytes) -> None:
        self.stdin = self
        self.stdout = asyncio.StreamReader(limit=64 * 1024)
        self.stdout.feed_data(data)
        self.stdout.feed_eof()

    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    async def wait(self) -> int:
        return 0


class _Answering:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def arguments(self, *args: object) -> list[str]:
        return []

    async def start(self, *args: object, **options: object) -> _Answered:
        return _Answered(self._data)


class _NoEnvironment:
    def local(self) -> dict[str, str]:
        return {}


def _batch(data: bytes) -> object:
    """Ask git's batch about an object and a path."""
    return asyncio.run(_ask(data))


async def _ask(data: bytes) -> object:
    command, environment = cast("GitCommand", _Answering(data)), cast("GitEnvironment", _NoEnvironment())
    reader = ObjectReader(command, environment, Path(), subject="x")
    return await reader.read(seeds.SHA, limit_bytes=1_000_000), await reader.find_entry(seeds.SHA, "a/b")


# -- collectors ---------------------------------------------------------------------------------------------------

_OPTIONS = OtlpOptions.from_environ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}).traces
_WIRE = HttpWire(_OPTIONS, cast("Any", None))


def _answer(data: bytes) -> object:
    kind = "application/json; charset=utf-8" if data[:1] in (b"{", b"[") else "application/x-protobuf"
    refused = str(_WIRE._translate(503, {"content-type": kind, "retry-after": "5"}, data))
    status = answers.parse_status(data)
    wait = answers.find_retry_delay(status) if status else None
    return refused, wait, _WIRE._read(kind, data)


def _of(name: str, found: Sequence[bytes], parse: Callable[[bytes], object], *errors: type[BaseException]) -> Parser:
    return Parser(name, [seed_of(data) for data in found], parse, errors)


def all_parsers() -> tuple[Parser, ...]:
    """Every parser, always in the same order: a case's number says which one it is for."""
    return (
        _of("oci-manifest", seeds.MANIFESTS, _manifest, WireError),
        _of("oci-config", seeds.IMAGE_CONFIGS, parse_image_config, WireError),
        _of("oci-challenge", seeds.CHALLENGES, _challenge, AuthError),
        _of("oci-reference", seeds.REFERENCES, _reference, WireError),
        _of("oci-refusal", seeds.STATUSES + seeds.MANIFESTS[:1], _refusal),
        _of("docker-config", seeds.DOCKER_CONFIGS, _docker_config, ConfigError),
        _of("exporter-info", seeds.EXPORTER_INFOS, lambda data: parse_exporter_info(data, now=NOW), WireError),
        _of("hydrator", seeds.HYDRATOR_METADATA, lambda data: parse_hydrator_metadata(data, now=NOW), WireError),
        *(_of(f"flux-{kind.kind}", seeds.FLUX_OBJECTS[kind.kind], _objects(kind)) for kind in KINDS),
        *(_of(f"workload-{kind.kind}", seeds.WORKLOADS[kind.kind], _objects(kind)) for kind in _WORKLOAD_KINDS),
        _of("workload-any", seeds.WORKLOADS["any"], _objects(_ANY_KIND)),
        _of("image-id", seeds.IMAGE_IDS, _image),
        _of("watch", seeds.WATCHES, _watch, FluxtrailError),
        _of("api-status", seeds.STATUSES, _status),
        _of("revision", seeds.REVISIONS, _revision, WireError),
        _of("repository-url", seeds.URLS, _url, WireError),
        _of("message", seeds.MESSAGES, _message),
        _of("http-date", seeds.HTTP_DATES, _dates),
        _of("timestamp", seeds.TIMESTAMPS, _timestamp),
        _of("git-log", seeds.LOGS, _log),
        _of("git-tree", seeds.TREES, _tree, CorruptCloneError),
        _of("git-refs", seeds.REFS, _refs),
        _of("git-progress", seeds.PROGRESS, _progress),
        _of("git-batch", seeds.BATCHES, _batch, WireError, CorruptCloneError),
        _of("otlp-answer", seeds.ANSWERS, _answer, UpstreamError),
    )
