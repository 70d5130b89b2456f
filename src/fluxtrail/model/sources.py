"""Flux's sources as Fluxtrail keeps them: git repositories, and what brings artifacts without a git of its own.

As in `flux.py`, a projection never fails on a value it does not understand.
Source of the fields: fluxcd/source-controller and source-watcher APIs, tabled in docs/concepts.md.
"""

from datetime import datetime

import msgspec

from fluxtrail.model.flux import SOURCE_GROUP, Condition, read_conditions
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.redaction import redact_url
from fluxtrail.model.revision import RevisionKind, find_revision
from fluxtrail.model.wire import (
    WireArtifact,
    WireArtifactGenerator,
    WireArtifactSource,
    WireArtifactSourceSpec,
    WireGeneratorArtifact,
    WireGeneratorSource,
    WireGitRepository,
    WireImageUpdateAutomation,
    WireReference,
    WireSourceStatus,
)

GENERATOR_GROUP = "source.extensions.fluxcd.io"
GENERATOR_VERSIONS = ("v1beta1", "v1alpha1")
IMAGE_GROUP = "image.toolkit.fluxcd.io"
IMAGE_VERSIONS = ("v1", "v1beta2", "v1beta1")
CHART_KIND = "HelmChart"
CHART_PLACE_KIND = "HelmRepository"
ARTIFACT_KINDS = ("OCIRepository", "Bucket", "ExternalArtifact", CHART_KIND)
"""Kinds whose artifacts a Kustomization or HelmRelease can apply, and that name no git commit of their own."""
DEFAULT_BRANCH = "master"
"""What Flux checks out when a GitRepository names no ref."""
DEFAULT_TAG = "latest"
"""What Flux pulls when an OCIRepository names no ref."""
PINNED = "@digest"
"""The pointer of an OCIRepository that names a digest: the pins are followed as if they were a tag. No tag has `@`."""

ORIGIN_REVISION = "org.opencontainers.image.revision"
ORIGIN_SOURCE = "org.opencontainers.image.source"
ORIGIN_CREATED = "org.opencontainers.image.created"
MAX_INPUTS = 64


class SourceInput(msgspec.Struct, frozen=True):
    """Another source that an artifact is made from."""

    key: ObjectKey
    paths: tuple[str, ...] = ()
    """The directories and files taken from it, without globs; empty: everything."""


class GitRef(msgspec.Struct, frozen=True):
    """What a GitRepository checks out. Later fields win over earlier ones, as in Flux."""

    branch: str | None = None
    tag: str | None = None
    semver: str | None = None
    name: str | None = None
    commit: str | None = None

    @property
    def followed_branch(self) -> str | None:
        """The branch whose head is fetched, or None where it follows tags or another kind of ref."""
        if self.name:
            head = "refs/heads/"
            return self.name.removeprefix(head) if self.name.startswith(head) else None
        if self.tag or self.semver:
            return None
        return self.branch or (None if self.commit else DEFAULT_BRANCH)

    @property
    def follows_tags(self) -> bool:
        return not self.commit and bool(self.tag or self.semver or (self.name or "").startswith("refs/tags/"))

    @property
    def is_pinned(self) -> bool:
        return bool(self.commit)


class GitRepository(msgspec.Struct, frozen=True, kw_only=True):
    key: ObjectKey
    uid: ObjectUid
    generation: int
    is_deleting: bool
    is_suspended: bool
    url: str
    """Without userinfo and query."""
    ref: GitRef
    ignore: str | None
    sparse_checkout: tuple[str, ...]
    includes: tuple[SourceInput, ...]
    included: tuple[str, ...]
    """The revisions of `includes` in its artifact, in their order (`status.includedArtifacts`)."""
    revision: str | None
    digest: str | None
    updated_at: datetime | None
    """`status.artifact.lastUpdateTime`: when the stored artifact last changed. Later than the first fetch when
    the artifact was stored again, so only the earliest one ever seen counts."""
    conditions: tuple[Condition, ...]
    provider: str = ""
    """Whose identity Flux fetches with; empty is `generic`."""
    secret: str = ""
    """The name of the Secret that Flux fetches with, in the same namespace; never what it holds."""

    def find_condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)


class ArtifactSource(msgspec.Struct, frozen=True, kw_only=True):
    """An OCIRepository, Bucket, ExternalArtifact or HelmChart; or a HelmRepository, of which only the URL counts."""

    key: ObjectKey
    uid: ObjectUid
    generation: int
    is_deleting: bool
    is_suspended: bool
    url: str
    """`oci://host/path`, `bucket://endpoint/name`, or empty where it names no place. Without userinfo and query."""
    pointer: str
    """Which of the place's artifacts is followed: tag, version range or `PINNED`; `latest` where nothing is said."""
    is_insecure: bool
    """The registry speaks plain HTTP."""
    made_from: ObjectKey | None
    """What an ExternalArtifact or HelmChart is made by or from."""
    revision: str | None
    digest: str | None
    updated_at: datetime | None
    origin: str | None
    """The revision of the source that the artifact was made from, as its maker annotated it."""
    origin_url: str | None
    created_at: datetime | None
    conditions: tuple[Condition, ...]
    chart: str = ""
    """Of a HelmChart: the chart's name in a HelmRepository, its path in another source."""

    def find_condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)


class ArtifactGenerator(msgspec.Struct, frozen=True, kw_only=True):
    """Makes ExternalArtifacts of its own namespace out of other sources."""

    key: ObjectKey
    uid: ObjectUid
    inputs: dict[str, tuple[SourceInput, ...]]
    """By the name of the ExternalArtifact."""


class ImageUpdateAutomation(msgspec.Struct, frozen=True, kw_only=True):
    """Pushes commits that set image tags."""

    key: ObjectKey
    uid: ObjectUid
    source: ObjectKey
    last_push: str | None
    """The commit it pushed last: full hex sha."""
    author_email: str | None = None
    """Whose its commits are, as its spec says; in lower case."""


def project_git_repository(wire: WireGitRepository) -> GitRepository:
    meta, spec, status = wire.metadata, wire.spec, wire.status
    artifact = status.artifact if status else None
    ref = spec.ref if spec and spec.ref else None
    return GitRepository(
        key=ObjectKey(SOURCE_GROUP, "GitRepository", meta.namespace or "", meta.name),
        uid=ObjectUid(meta.uid or ""),
        generation=meta.generation or 0,
        is_deleting=meta.deletion_timestamp is not None,
        is_suspended=bool(spec and spec.suspend),
        url=redact_url((spec.url if spec else None) or ""),
        ref=GitRef(ref.branch, ref.tag, ref.semver, ref.name, ref.commit) if ref else GitRef(),
        ignore=spec.ignore if spec else None,
        sparse_checkout=tuple(path for path in (spec.sparse_checkout if spec else None) or () if path),
        includes=_includes(wire),
        included=tuple(
            item.revision or "" for item in (status.included_artifacts if status else None) or () if item is not None
        )[:MAX_INPUTS],
        revision=artifact.revision if artifact else None,
        digest=artifact.digest if artifact else None,
        updated_at=parse_timestamp(artifact.last_update_time) if artifact else None,
        conditions=read_conditions(status.conditions if status else None),
        provider=(spec.provider if spec else None) or "",
        secret=(spec.secret_ref.name if spec and spec.secret_ref else None) or "",
    )


def project_artifact_source(wire: WireArtifactSource, *, kind: str) -> ArtifactSource:
    meta, spec, status = wire.metadata, wire.spec or WireArtifactSourceSpec(), wire.status
    artifact = (status.artifact if status else None) or WireArtifact()
    namespace = meta.namespace or ""
    annotations = artifact.metadata or {}
    return ArtifactSource(
        key=ObjectKey(SOURCE_GROUP, kind, namespace, meta.name),
        uid=ObjectUid(meta.uid or ""),
        generation=meta.generation or 0,
        is_deleting=meta.deletion_timestamp is not None,
        is_suspended=bool(spec.suspend),
        url=_place(spec),
        pointer=_pointer(spec),
        is_insecure=bool(spec.insecure),
        made_from=_made_from(spec.source_ref, namespace),
        revision=artifact.revision,
        digest=artifact.digest,
        updated_at=parse_timestamp(artifact.last_update_time),
        # Where HEAD is detached, `flux push artifact --revision="$(git branch --show-current)@sha1:…"` has no branch.
        origin=(annotations.get(ORIGIN_REVISION) or "").removeprefix("@") or _built_from(status, artifact.revision),
        origin_url=redact_url(annotations.get(ORIGIN_SOURCE) or "") or None,
        created_at=parse_timestamp(annotations.get(ORIGIN_CREATED)),
        conditions=read_conditions(status.conditions if status else None),
        chart=spec.chart or "",
    )


def project_artifact_generator(wire: WireArtifactGenerator) -> ArtifactGenerator:
    meta, spec = wire.metadata, wire.spec
    namespace = meta.namespace or ""
    sources = {
        item.alias: _generator_source(item, namespace)
        for item in ((spec.sources if spec else None) or ())[:MAX_INPUTS]
        if item is not None and item.alias and item.name
    }
    everything = tuple(SourceInput(key) for key in dict.fromkeys(sources.values()))
    return ArtifactGenerator(
        key=ObjectKey(GENERATOR_GROUP, "ArtifactGenerator", namespace, meta.name),
        uid=ObjectUid(meta.uid or ""),
        inputs={
            item.name: _generator_inputs(item, sources) or everything
            for item in (spec.artifacts if spec else None) or ()
            if item is not None and item.name
        },
    )


def project_image_update_automation(wire: WireImageUpdateAutomation) -> ImageUpdateAutomation:
    meta, spec, status = wire.metadata, wire.spec, wire.status
    namespace = meta.namespace or ""
    reference = (spec.source_ref if spec else None) or WireReference()
    commit = spec.git.commit if spec and spec.git else None
    email = commit.author.email if commit and commit.author else None
    return ImageUpdateAutomation(
        key=ObjectKey(IMAGE_GROUP, "ImageUpdateAutomation", namespace, meta.name),
        uid=ObjectUid(meta.uid or ""),
        source=_source_key(reference.kind or "GitRepository", reference.namespace or namespace, reference.name or ""),
        last_push=(status.last_push_commit if status else None) or None,
        author_email=(email or "").strip().lower() or None,
    )


def is_place(url: str) -> bool:
    """True for a place of artifacts (`oci://…`, `bucket://…`), false for a git repository."""
    return url.startswith(("oci://", "bucket://", "artifact://", "helm://"))


def chart_place(url: str, chart: str) -> str:
    """Return where a chart stands: its repository's URL and its own name, `helm://…` for a repository by HTTP."""
    scheme, separator, rest = url.partition("://")
    host = rest if separator else url
    return canonical_place(f"{scheme if is_place(url) else 'helm'}://{host.strip('/')}/{chart.strip('./')}")


def taken_path(text: str | None) -> tuple[str, ...]:
    """Return the directory that a copy, an include or a chart takes, up to its first glob; nothing for everything."""
    segments: list[str] = []
    for segment in (text or "").split("/"):
        if any(character in segment for character in "*?[{"):
            break
        if segment not in ("", "."):
            segments.append(segment)
    return ("/".join(segments),) if segments else ()


def canonical_place(url: str) -> str:
    """Return the one name of a place of artifacts: its host in lower case, without a slash at the end."""
    scheme, _, rest = url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.lower()}{slash}{path}"


def url_to_ask(url: str, *, is_insecure: bool = False) -> str | None:
    """Return the URL under which a source is asked, for the list of hosts that may be; None where it is not asked."""
    if url.startswith("oci://"):
        return f"{'http' if is_insecure else 'https'}://{url.removeprefix('oci://')}"
    return None if not url or is_place(url) else url


def _includes(wire: WireGitRepository) -> tuple[SourceInput, ...]:
    items = ((wire.spec.include if wire.spec else None) or ())[:MAX_INPUTS]
    namespace = wire.metadata.namespace or ""
    return tuple(
        SourceInput(_source_key("GitRepository", namespace, item.repository.name), taken_path(item.from_path))
        for item in items
        if item is not None and item.repository is not None and item.repository.name
    )


def _place(spec: WireArtifactSourceSpec) -> str:
    if spec.bucket_name:
        return redact_url(f"bucket://{(spec.endpoint or '').rpartition('://')[2].strip('/')}/{spec.bucket_name}")
    return redact_url(spec.url or "")


def _pointer(spec: WireArtifactSourceSpec) -> str:
    """Later fields win over earlier ones, as in Flux."""
    ref = spec.ref
    if ref is not None:
        return PINNED if ref.digest else ref.semver or ref.tag or DEFAULT_TAG
    return spec.version or DEFAULT_TAG


def _built_from(status: WireSourceStatus | None, revision: str | None) -> str | None:
    """Return the commit that a HelmChart's artifact was built from, as far as its status can tell.

    Flux notes the source's revision a write before the artifact that it gave; only a chart whose version has the
    commit's first digits (reconcileStrategy Revision) can be told from the one before.
    """
    source = find_revision(status.observed_source_artifact_revision if status else None)
    if source is None or not source.commit_sha:
        return None
    built = find_revision(revision)
    digits = built.hash if built is not None and built.kind is RevisionKind.CHART else ""
    return source.text if source.commit_sha.startswith(digits) else None


def _made_from(reference: WireReference | None, namespace: str) -> ObjectKey | None:
    if reference is None or not reference.name:
        return None
    return _source_key(reference.kind or "", reference.namespace or namespace, reference.name)


def _generator_source(item: WireGeneratorSource, namespace: str) -> ObjectKey:
    return _source_key(item.kind or "GitRepository", item.namespace or namespace, item.name or "")


def _source_key(kind: str, namespace: str, name: str) -> ObjectKey:
    return ObjectKey(GENERATOR_GROUP if kind == "ArtifactGenerator" else SOURCE_GROUP, kind, namespace, name)


def _generator_inputs(item: WireGeneratorArtifact, sources: dict[str, ObjectKey]) -> tuple[SourceInput, ...]:
    """Return what an artifact copies (`@alias/path/**`), by source; nothing where no copy can be read."""
    paths: dict[ObjectKey, dict[str, None]] = {}
    whole: set[ObjectKey] = set()
    for copy in item.copy or ():
        alias, _, path = ((copy.source if copy else None) or "").removeprefix("@").partition("/")
        key = sources.get(alias)
        if key is None:
            continue
        taken = taken_path(path)
        whole |= set() if taken else {key}
        paths.setdefault(key, {}).update(dict.fromkeys(taken))
    return tuple(SourceInput(key, () if key in whole else tuple(taken)) for key, taken in paths.items())
