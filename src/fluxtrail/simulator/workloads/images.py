"""Which digest an image reference stands for: made from its text, until a tag is moved."""

from __future__ import annotations

import hashlib


def image_digest(content: str) -> str:
    """Return the digest of an image, of which only a text is known: usually `<name>:<version>`."""
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def image_name(reference: str) -> str:
    """Return a reference without its tag."""
    name, colon, tag = reference.rpartition(":")
    return name if colon and "/" not in tag else reference


class Registry:
    """The images of the world. A tag stands for its own text until it is moved."""

    def __init__(self) -> None:
        self._moved: dict[str, str] = {}

    def digest(self, reference: str) -> str:
        return image_digest(self._moved.get(reference, reference))

    def move_tag(self, reference: str, content: str) -> str:
        """Let `reference` stand for another image from now on; return its digest."""
        self._moved[reference] = content
        return self.digest(reference)
