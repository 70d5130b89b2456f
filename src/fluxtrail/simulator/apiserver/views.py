"""How a client sees objects: whole, under one version, or their metadata alone, as its `Accept` header asks.

Source: kubernetes.io "API concepts", receiving resources as metadata; apiserver `handlers/response.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fluxtrail.simulator.apiserver.resources import ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import not_acceptable

if TYPE_CHECKING:
    from fluxtrail.simulator.apiserver.table import Entry

_PARTIAL = "PartialObjectMetadata"
_META_GROUP = "meta.k8s.io"
_META_VERSIONS = ("v1", "v1beta1")
_JSON_TYPES = ("application/json", "application/*", "*/*")
_SERVED_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


class _Parts(msgspec.Struct):
    metadata: msgspec.Raw


_parts = msgspec.json.Decoder(_Parts)


class View:
    """One way to see the objects of one resource.

    Args:
        meta_version: of `meta.k8s.io`, to show metadata only; empty for whole objects.
    """

    __slots__ = ("_meta_version", "definition", "head", "version")

    def __init__(self, definition: ResourceDefinition, version: str, *, meta_version: str = "") -> None:
        self.definition = definition
        self.version = version
        self._meta_version = meta_version
        self.head = _object_head(definition, version) if not meta_version else _meta_head(_PARTIAL, meta_version) + b","
        """The bytes before an entry's tail: apiVersion and kind in the order of the real server."""

    @property
    def is_partial(self) -> bool:
        return bool(self._meta_version)

    @property
    def list_head(self) -> bytes:
        """The beginning of a list that puts its metadata first."""
        if self._meta_version:
            return _meta_head(f"{_PARTIAL}List", self._meta_version)
        api_version = self.definition.api_version(self.version)
        return b'{"kind":"%sList","apiVersion":"%s"' % (self.definition.kind.encode(), api_version.encode())

    def tail(self, entry: Entry) -> bytes:
        if not self._meta_version:
            return entry.tail
        return b'"metadata":%s}' % bytes(_parts.decode(b"{" + entry.tail).metadata)

    def object(self, entry: Entry) -> bytes:
        return self.head + self.tail(entry)

    def line(self, kind: str, entry: Entry) -> bytes:
        """Return the line of a watch."""
        return b'{"type":"%s","object":%s%s}\n' % (kind.encode(), self.head, self.tail(entry))


def requested_view(accept: str, definition: ResourceDefinition, version: str, *, is_list: bool) -> View:
    """Return what the first usable clause of an `Accept` header asks for.

    A clause with a transformation that is not known is passed over, as one with another media type is.

    Raises:
        StatusError: 406, no clause is usable, or a list's transformation is asked for an object or the reverse.
    """
    if not accept.strip():
        return View(definition, version)
    for clause in accept.split(","):
        media_type, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        if media_type not in _JSON_TYPES:
            continue
        wanted = parameters.get("as", "")
        if not wanted:
            return View(definition, version)
        meta_version = parameters.get("v", "")
        is_known = parameters.get("g") == _META_GROUP and meta_version in _META_VERSIONS
        if not is_known or wanted not in (_PARTIAL, f"{_PARTIAL}List"):
            continue
        if is_list is not wanted.endswith("List"):
            raise not_acceptable(_mismatch(wanted, definition, version, is_list=is_list))
        return View(definition, version, meta_version=meta_version)
    raise not_acceptable(f"only the following media types are accepted: {_SERVED_TYPES}")


def _mismatch(wanted: str, definition: ResourceDefinition, version: str, *, is_list: bool) -> str:
    kind = "UnstructuredList" if is_list else "Unstructured"
    if not definition.custom:
        kind = f"{definition.kind}List" if is_list else definition.kind
    package = "unstructured" if definition.custom else version
    what = "is a list" if is_list else "is not a list"
    return f"you requested {wanted}, but the requested object {what} (*{package}.{kind})"


def _object_head(definition: ResourceDefinition, version: str) -> bytes:
    api_version, kind = definition.api_version(version), definition.kind
    if definition.custom:
        return b'{"apiVersion":"%s","kind":"%s",' % (api_version.encode(), kind.encode())
    return b'{"kind":"%s","apiVersion":"%s",' % (kind.encode(), api_version.encode())


def _meta_head(kind: str, meta_version: str) -> bytes:
    return b'{"kind":"%s","apiVersion":"%s/%s"' % (kind.encode(), _META_GROUP.encode(), meta_version.encode())
