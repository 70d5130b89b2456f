"""The few fields of list pages, watch events and objects that watching needs. Everything else stays unparsed bytes.

`managedFields` alone is half of a pod; what is not declared here or by the caller is skipped, never built.
"""

from typing import Any

import msgspec
from msgspec.structs import fields


class ObjectMeta(msgspec.Struct, rename="camel", gc=False):
    """The identity of an object. Optional as the API declares them; `identify` insists where watching must."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class Identified(msgspec.Struct):
    metadata: ObjectMeta | None = None


def is_identified(shape: type[Any]) -> bool:
    """Whether a shape's own `metadata` has all that `ObjectMeta` has, so that one decoding gives both."""
    if not issubclass(shape, msgspec.Struct):
        return False  # bytes, say, that are decoded later
    own = next((field.type for field in fields(shape) if field.name == "metadata"), None)
    if not (isinstance(own, type) and issubclass(own, msgspec.Struct)):
        return False
    return _names(ObjectMeta) <= _names(own)


def _names(shape: type[msgspec.Struct]) -> set[tuple[str, str]]:
    return {(field.name, field.encode_name) for field in fields(shape)}


class ListMeta(msgspec.Struct):
    resource_version: str | None = msgspec.field(default=None, name="resourceVersion")
    continue_token: str | None = msgspec.field(default=None, name="continue")


class Page(msgspec.Struct):
    """One page of a list. Custom resources put `metadata` after `items`, built-in kinds before: both decode."""

    metadata: ListMeta | None = None
    items: list[msgspec.Raw] | None = None


class Event(msgspec.Struct):
    """One line of a watch. `object` is decoded once its type is known: an object, a bookmark or a `Status`."""

    type: str
    object: msgspec.Raw


class BookmarkMeta(msgspec.Struct):
    resource_version: str | None = msgspec.field(default=None, name="resourceVersion")
    annotations: dict[str, str | None] | None = None


class Bookmark(msgspec.Struct):
    metadata: BookmarkMeta | None = None

    @property
    def ends_initial_events(self) -> bool:
        """Source: KEP-3157, `k8s.io/initial-events-end`."""
        annotations = (self.metadata.annotations if self.metadata else None) or {}
        return annotations.get("k8s.io/initial-events-end") == "true"
