"""Image references as people write them, and image ids as container runtimes report them.

Source: the reference grammar of distribution/reference; `imageID` of Kubernetes' ContainerStatus, whose form each
runtime chooses: `docker-pullable://name@sha256:…`, `name@sha256:…`, `sha256:…`.
"""

import re
from typing import NamedTuple

_PREFIX = "sha256:"
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_ANY_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]+")


class ImageName(NamedTuple):
    name: str
    """With its registry, as written."""
    tag: str
    """Empty where there is none."""


def split_image(reference: str) -> ImageName:
    """Return the name and the tag of an image reference; a digest in it is left out.

    A `:` before the last `/` is the port of a registry.
    """
    bare = reference.partition("@")[0]
    colon = bare.rfind(":")
    return ImageName(bare[:colon], bare[colon + 1 :]) if colon > bare.rfind("/") else ImageName(bare, "")


def without_userinfo(reference: str) -> str:
    """Return an image reference without what is before an `@`, unless a digest is behind it.

    No reference has a login: what looks like `user:password@registry/name` is a mistake, and the password is none of
    our business.
    """
    name, at, last = reference.rpartition("@")
    if not at or not _ANY_DIGEST.fullmatch(last):
        return last
    return f"{name.rpartition('@')[2]}@{last}"


def find_digest(image_id: str) -> str:
    """Return what stands for the digest in an image id: from its first `sha256:` to the end, an `@` or a space.

    Without one the whole id comes back; see `is_digest`.
    """
    start = image_id.find(_PREFIX)
    if start < 0 or len(image_id) == start + len(_PREFIX):
        return image_id
    end = len(image_id)
    for stop in "@ ":
        at = image_id.find(stop, start)
        end = min(end, at) if at >= 0 else end
    return image_id[start:end]


def is_digest(text: str) -> bool:
    """Whether `text` is a whole sha256 digest: the only kind that GitHub keeps records of."""
    return _DIGEST.fullmatch(text) is not None
