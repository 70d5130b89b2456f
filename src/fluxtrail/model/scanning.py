"""What Flux's image reflector knows of images: the repositories that it scans, and the newest image of each policy.

As in `flux.py`, a projection never fails on a value that it does not understand.
Source of the fields: fluxcd/image-reflector-controller APIs, v1 and v1beta2.
"""

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.image import is_digest, split_image
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.redaction import redact_url
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.sources import IMAGE_GROUP
from fluxtrail.model.wire import WireMeta, WireReference

REFLECTOR_VERSIONS = ("v1", "v1beta2", "v1beta1")


class WireScanSpec(msgspec.Struct, rename="camel"):
    image: str | None = None
    insecure: bool | None = None
    suspend: bool | None = None


class WireImageRepository(msgspec.Struct):
    metadata: WireMeta
    spec: WireScanSpec | None = None


class WireImageRef(msgspec.Struct):
    name: str | None = None
    tag: str | None = None
    digest: str | None = None


class WirePolicySpec(msgspec.Struct, rename="camel"):
    image_repository_ref: WireReference | None = None


class WirePolicyStatus(msgspec.Struct, rename="camel"):
    latest_ref: WireImageRef | None = None
    latest_image: str | None = None


class WireImagePolicy(msgspec.Struct):
    metadata: WireMeta
    spec: WirePolicySpec | None = None
    status: WirePolicyStatus | None = None


class ImageRepository(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose tags are scanned: its registry is one that the cluster asks."""

    key: ObjectKey
    uid: ObjectUid
    image: str
    """`ghcr.io/acme/shop`, without tag, userinfo and query."""
    is_insecure: bool


class ImagePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Chooses the newest image of a repository."""

    key: ObjectKey
    uid: ObjectUid
    repository: ObjectKey | None
    name: str
    """Of the image chosen; empty where none is."""
    tag: str
    digest: str | None
    """Where the policy reflects digests."""

    @property
    def image(self) -> str:
        """The image chosen, as a pod would want it; empty where none is."""
        return f"{self.name}:{self.tag}" if self.name and self.tag else self.name


def project_image_repository(wire: WireImageRepository) -> ImageRepository:
    meta, spec = wire.metadata, wire.spec or WireScanSpec()
    return ImageRepository(
        key=ObjectKey(IMAGE_GROUP, "ImageRepository", meta.namespace or "", meta.name),
        uid=ObjectUid(meta.uid or ""),
        image=split_image(redact_url((spec.image or "").strip())).name,
        is_insecure=bool(spec.insecure),
    )


def project_image_policy(wire: WireImagePolicy) -> ImagePolicy:
    meta, spec = wire.metadata, wire.spec or WirePolicySpec()
    status = wire.status or WirePolicyStatus()
    namespace = meta.namespace or ""
    reference = spec.image_repository_ref
    latest = status.latest_ref or WireImageRef()
    split = split_image(status.latest_image or "")
    digest = (latest.digest or "").lower()
    return ImagePolicy(
        key=ObjectKey(IMAGE_GROUP, "ImagePolicy", namespace, meta.name),
        uid=ObjectUid(meta.uid or ""),
        repository=ObjectKey(IMAGE_GROUP, "ImageRepository", reference.namespace or namespace, reference.name)
        if reference and reference.name
        else None,
        name=latest.name or split.name,
        tag=latest.tag or (split.tag if not latest.name else ""),
        digest=digest if is_digest(digest) else None,
    )


def registry_url(image: str, *, is_insecure: bool = False) -> str | None:
    """Return the URL under which an image's registry is asked, for the list of those that may be; None for none.

    A name without a host is Docker Hub's.
    """
    first, slash, _ = image.partition("/")
    if not image:
        return None
    has_host = slash and (first == "localhost" or "." in first or ":" in first)
    name = image if has_host else f"docker.io/{image if slash else f'library/{image}'}"
    url = f"{'http' if is_insecure else 'https'}://{name}"
    try:
        parse_repository(url)
    except WireError:
        return None
    return url
