"""The pages' scripts are brought from a registry: a real one on loopback."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fluxtrail.model.errors import ConfigError, UpstreamError, WireError
from fluxtrail.web.pages import vendoring
from fluxtrail.web.pages.vendoring import PUBLIC_REGISTRY, Package, bring, bring_all, find_registry, missing, read_lock


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


GOOD = archive(script=b"const one = 1;", LICENSE=b"free")


def package(content: bytes = GOOD, *, name: str = "@acme/script", **files: str) -> Package:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    return Package(
        name=name, version="1.2.3", integrity=integrity, use="pages", files=files or {"script": "s.js", "LICENSE": "L"}
    )


@pytest.fixture
def registry() -> Iterator[str]:
    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/npm/@acme/script/-/script-1.2.3.tgz"
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(GOOD if known else b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Tests are quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/npm/"
        server.shutdown()
        thread.join()


def test_package_is_fetched_checked_and_put_in_place(registry: str, tmp_path: Path) -> None:
    wanted = package()
    assert missing([wanted], tmp_path) == [wanted]
    bring(wanted, registry=registry, destination=tmp_path)
    assert (tmp_path / "s.js").read_bytes() == b"const one = 1;"
    assert missing([wanted], tmp_path) == []
    assert missing([package(b"of another version")], tmp_path) != []
    (tmp_path / "s.js").unlink()
    assert missing([wanted], tmp_path) == [wanted]


def test_other_content_than_the_lock_file_says_is_refused(registry: str, tmp_path: Path) -> None:
    with pytest.raises(WireError, match=r"not what vendor\.lock\.json says"):
        bring(package(b"something else"), registry=registry, destination=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wanted", [package(name="absent")], ids=["unknown"])
def test_registry_that_refuses_is_told(registry: str, tmp_path: Path, wanted: Package) -> None:
    with pytest.raises(UpstreamError, match="404"):
        bring(wanted, registry=registry, destination=tmp_path)


def test_file_that_the_package_has_not_is_told(registry: str, tmp_path: Path) -> None:
    with pytest.raises(WireError):
        bring(package(absent="a.js"), registry=registry, destination=tmp_path)


def test_registry_is_the_one_that_npm_would_ask(tmp_path: Path) -> None:
    assert find_registry({}, tmp_path) == PUBLIC_REGISTRY
    (tmp_path / ".npmrc").write_text("fund=false\nregistry = https://mirror.example/npm\n")
    assert find_registry({}, tmp_path) == "https://mirror.example/npm"
    assert find_registry({"npm_config_registry": "https://other.example"}, tmp_path) == "https://other.example"
    with pytest.raises(ConfigError, match="https"):
        find_registry({"npm_config_registry": "http://plain.example"}, tmp_path)


def test_command_brings_all_once_and_says_what_it_could_not(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("npm_config_registry", registry)
    assert bring_all(destination=tmp_path, packages=[package()]) == ["@acme/script 1.2.3"]
    assert bring_all(destination=tmp_path, packages=[package()]) == []
    assert vendoring.main(["--into", str(tmp_path / "other")]) == 1
    assert "The pages work without them" in capsys.readouterr().err


def test_lock_file_names_versions_and_contents() -> None:
    for wanted in read_lock():
        assert wanted.integrity.startswith("sha512-")
        assert wanted.version.count(".") == 2
        assert wanted.use in ("pages", "tests")


def test_lock_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"packages": [{"name": "x"}]}')
    for name in ("lock", "absent"):
        with pytest.raises(ConfigError):
            read_lock(tmp_path / name)
