"""Which digest an image reference stands for: made from its text, until a tag is moved."""

from __future__ import annotations

import hashlib

from fluxtrail.simulator.images.building import PLATFORMS
from fluxtrail.simulator.images.registry import ImageRegistry


def image_digest(content: str) -> str:
    """Return the digest of an image, of which only a text is known: usually `<name>:<version>`."""
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def image_name(reference: str) -> str:
    """Return a reference without its tag and digest."""
    reference, _, _ = reference.partition("@")
    name, colon, tag = reference.rpartition(":")
    return name if colon and "/" not in tag else reference


class Registry:
    """The images of the world, as one cluster pulls them. A tag stands for its own text until it is moved.

    Args:
        hosted: the registry that really answers: of its images, nodes run the manifest of their platform.
    """

    def __init__(self, hosted: ImageRegistry | None = None, *, platform: str = PLATFORMS[0]) -> None:
        self.hosted = hosted or ImageRegistry()
        self._moved: dict[str, str] = {}
        self._platform = platform

    def digest(self, reference: str) -> str:
        image = self.hosted.find_image(reference)
        if image is not None:
            return image.manifests[self._platform].digest
        return image_digest(self._moved.get(reference, reference))

    def move_tag(self, reference: str, content: str) -> str:
        """Let `reference` stand for another image from now on; return its digest."""
        self._moved[reference] = content
        return self.digest(reference)
