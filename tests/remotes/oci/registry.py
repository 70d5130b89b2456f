"""Debian's docker-registry, started on a port of its own choice, and a way to push artifacts into it.

    with running_registry(tmp_path) as registry:
        digest = registry.push("acme/manifests", tag="latest", layers=[(EXPORTER_INFO, payload)])

Another folder's tests get the fixture with `from tests.remotes.oci.registry import real_registry`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

EXPORTER_INFO = "application/vnd.grafana.exporter-info.v1+json"
TARBALL = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
PROGRAM = "docker-registry"
USER, PASSWORD = "flux", "correct horse"
# bcrypt of PASSWORD, the only kind that it takes.
HTPASSWD = "flux:$2b$04$4Qq4dy47pwEvQoJ8UhGXZewr.gwULDcHecG.C0Bm9ljET1kfkZDgy\n"
START_SECONDS = 10.0
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")

needs_registry = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")
"""Beside `pytest.mark.requires("registry")`, which turns the skip into a failure where it must not be skipped."""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def image_manifest(
    layers: Sequence[tuple[str, bytes]], *, config: bytes = b"{}", annotations: Mapping[str, str] | None = None
) -> bytes:
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, config),
            "layers": [descriptor(media_type, data) for media_type, data in layers],
            "annotations": dict(annotations or {}),
        }
    )


def index_manifest(members: Sequence[Mapping[str, Any]], *, annotations: Mapping[str, str] | None = None) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": members,
        "annotations": dict(annotations or {}),
    }
    return msgspec.json.encode(document)


@dataclass
class RealRegistry:
    """A running registry. `host` is `127.0.0.1:<port>`, plain HTTP."""

    host: str
    headers: Mapping[str, str]

    def url(self, repository: str) -> str:
        return f"oci://{self.host}/{repository}"

    def push(
        self,
        repository: str,
        *,
        tag: str = "latest",
        layers: Sequence[tuple[str, bytes]] = (),
        config: bytes = b"{}",
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Push an artifact as `flux push artifact` lays one out; returns its digest."""
        for data in (config, *(data for _, data in layers)):
            self.push_blob(repository, data)
        return self.push_manifest(
            repository, image_manifest(layers, config=config, annotations=annotations), tag=tag, media_type=OCI_MANIFEST
        )

    def push_manifest(self, repository: str, body: bytes, *, tag: str, media_type: str) -> str:
        self._call("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": media_type}, expect=201)
        return digest_of(body)

    def push_blob(self, repository: str, data: bytes) -> None:
        headers = self._call("POST", f"/v2/{repository}/blobs/uploads/", b"", {}, expect=202)
        place = urlsplit(headers["location"])
        path = f"{place.path}?{place.query}&digest={digest_of(data)}"
        self._call("PUT", path, data, {"Content-Type": "application/octet-stream"}, expect=201)

    def delete(self, repository: str, digest: str) -> None:
        self._call("DELETE", f"/v2/{repository}/manifests/{digest}", b"", {}, expect=202)

    def _call(self, method: str, path: str, body: bytes, headers: Mapping[str, str], *, expect: int) -> dict[str, str]:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        try:
            connection.request(method, path, body=body, headers={**self.headers, **headers})
            response = connection.getresponse()
            said = response.read()
            assert response.status == expect, (method, path, response.status, said)
            return {name.lower(): text for name, text in response.getheaders()}
        finally:
            connection.close()


@contextlib.contextmanager
def running_registry(folder: Path, *, with_password: bool = False) -> Iterator[RealRegistry]:
    """Run a registry that keeps its content under `folder`, and end it."""
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "text"},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "registry")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": "127.0.0.1:0", "secret": "of this run only"},
    }
    if with_password:
        (folder / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    file = folder / "registry.yml"
    file.write_bytes(msgspec.yaml.encode(config))
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen(
        [PROGRAM, "serve", str(file)],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stderr is not None
    said = _Said(process.stderr)
    try:
        token = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        yield RealRegistry(said.address(), {"Authorization": f"Basic {token}"} if with_password else {})
    finally:
        process.kill()
        process.wait(timeout=10)
        said.end()


class _Said:
    """Reads what the process says, so that it never blocks on a full pipe, and finds its address in it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._found = threading.Event()
        self._address = ""
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def address(self) -> str:
        assert self._found.wait(START_SECONDS), "".join(self._lines)
        assert self._address, "".join(self._lines)
        return self._address

    def end(self) -> None:
        self._thread.join(timeout=10)
        self._stream.close()

    def _read(self) -> None:
        for line in self._stream:
            if not self._found.is_set():
                self._lines.append(line)
                match = _LISTENING.search(line)
                if match is not None:
                    self._address = match[1]
                    self._found.set()
        self._found.set()


@pytest.fixture
def real_registry(tmp_path: Path) -> Iterator[RealRegistry]:
    with running_registry(tmp_path) as registry:
        yield registry
