"""Requests over real sockets: TLS, credentials and their renewal, bounds and failures."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.clusters.scripted import Answer, FakeClock, ScriptedApi, refuse, serving, watching

from fluxtrail.clusters.answers import OversizedError, SilenceError
from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import BasicLogin, BearerToken, BearerTokenFile, Endpoint, Pem, Secret
from fluxtrail.model.errors import AuthError, ConfigError, RateLimitedError, UpstreamError, WireError

Handler = Callable[[web.Request], Any]


class Authority:
    """A certificate authority and what it signs, all made for one test run."""

    def __init__(self, name: str = "test authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self.name, self.key, is_authority=True).public_bytes(serialization.Encoding.PEM)

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool, dns: str = "") -> Any:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            names = [x509.DNSName(dns)] if dns else [x509.IPAddress(IPv4Address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, common_name: str, *, dns: str = "") -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        certificate = self._sign(name, key, is_authority=False, dns=dns)
        encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        return certificate.public_bytes(encoding), key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@asynccontextmanager
async def tls_server(authority: Authority, folder: Path, *, dns: str = "", asks: bool = False) -> AsyncIterator[str]:
    """Serve who the client is, by its certificate, and which name it asked for."""
    asked_names: list[str | None] = []
    certificate, key = authority.issue("server", dns=dns)
    (folder / "server.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.sni_callback = lambda _socket, name, _context: asked_names.append(name)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem.decode())

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert") or {}
        who = [value for group in peer.get("subject", ()) for name, value in group if name == "commonName"]
        return web.json_response({"who": who, "asked": asked_names[-1:]})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Who(msgspec.Struct):
    who: list[str]
    asked: list[str | None]


async def test_client_certificate_and_authority_from_data(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("me")
    async with tls_server(authority, tmp_path, asks=True) as url:
        endpoint = Endpoint(
            name="x",
            server=url,
            authority=Pem(subject="ca", data=authority.pem),
            certificate=Pem(subject="cert", data=certificate),
            key=Pem(subject="key", data=key),
        )
        async with Connection(endpoint) as connection:
            assert (await connection.get("/", Who)).who == ["me"]


async def test_client_certificate_in_files_is_read_again_after_rotation(authority: Authority, tmp_path: Path) -> None:
    def rotate(name: str) -> None:
        certificate, key = authority.issue(name)
        (tmp_path / "me.crt").write_bytes(certificate)
        (tmp_path / "me.key").write_bytes(key)

    clock = FakeClock()
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    rotate("old")
    async with tls_server(authority, tmp_path, asks=True) as url:
        endpoint = Endpoint(
            name="x",
            server=url,
            authority=Pem(subject="ca", path=tmp_path / "ca.crt"),
            certificate=Pem(subject="cert", path=tmp_path / "me.crt"),
            key=Pem(subject="key", path=tmp_path / "me.key"),
        )
        async with Connection(endpoint, clock=clock) as connection:
            assert (await connection.get("/", Who)).who == ["old"]
            rotate("new")
            assert (await connection.get("/", Who)).who == ["old"]
            clock.advance(61)
            assert (await connection.get("/", Who)).who == ["new"]


async def test_server_of_another_authority_is_refused_with_a_remedy(authority: Authority, tmp_path: Path) -> None:
    other = Authority("somebody else")
    async with tls_server(authority, tmp_path) as url:
        endpoint = Endpoint(name="x", server=url, authority=Pem(subject="ca", data=other.pem))
        async with Connection(endpoint) as connection:
            with pytest.raises(UpstreamError, match=r"certificate was not accepted.*certificate-authority"):
                await connection.get("/", Who)


async def test_tls_server_name_is_what_is_asked_for_and_checked(authority: Authority, tmp_path: Path) -> None:
    async with tls_server(authority, tmp_path, dns="inner.example") as url:
        endpoint = Endpoint(name="x", server=url, authority=Pem(subject="ca", data=authority.pem))
        async with Connection(endpoint) as connection:
            with pytest.raises(UpstreamError, match="certificate was not accepted"):
                await connection.get("/", Who)
        named = Endpoint(
            name="x",
            server=url,
            authority=Pem(subject="ca", data=authority.pem),
            tls_server_name="inner.example",
        )
        async with Connection(named) as connection:
            assert (await connection.get("/", Who)).asked == ["inner.example"]


async def test_unverified_server_is_taken_when_asked_for(authority: Authority, tmp_path: Path) -> None:
    async with (
        tls_server(authority, tmp_path) as url,
        Connection(Endpoint(name="x", server=url, is_verified=False)) as connection,
    ):
        assert (await connection.get("/", Who)).who == []


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"authority": Pem(subject="ca", data=b"no pem")}, "ca"),
        ({"authority": Pem(subject="ca", data=b"\xff")}, "ca"),
        ({"authority": Pem(subject="ca", path=Path("/nowhere/ca.crt"))}, "ca"),
        ({"certificate": Pem(subject="cert", data=b"x"), "key": Pem(subject="key", data=b"y")}, "cert"),
    ],
)
async def test_broken_certificates_are_named(changes: dict[str, Any], subject: str) -> None:
    async with Connection(Endpoint(name="x", server="https://127.0.0.1:1", **changes)) as connection:
        with pytest.raises(ConfigError) as caught:
            await connection.get("/", Who)
    assert caught.value.subject == subject


def connect(api: ScriptedApi, clock: FakeClock | None = None, **changes: Any) -> Connection:
    return Connection(Endpoint(name="x", server=api.url, **changes), clock=clock or FakeClock())


async def test_basic_login_and_token_are_sent(api: ScriptedApi) -> None:
    for login in (BasicLogin(username="me", password=Secret("pw")), BearerToken(token=Secret("t"))):
        async with connect(api, login=login) as connection:
            await connection.get("/apis/example.dev", msgspec.Raw)
    assert [each.authorization for each in api.asked] == ["Basic bWU6cHc=", "Bearer t"]


async def test_token_file_is_read_once_a_minute_and_after_a_401(api: ScriptedApi, tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "token"
    path.write_text("first\n")
    async with connect(api, clock, login=BearerTokenFile(path=path, subject="tokenFile")) as connection:
        await connection.get("/apis/example.dev", msgspec.Raw)
        path.write_text("second")
        await connection.get("/apis/example.dev", msgspec.Raw)
        clock.advance(60)
        await connection.get("/apis/example.dev", msgspec.Raw)
        path.write_text("third")
        api.tokens = {"third"}
        await connection.get("/apis/example.dev", msgspec.Raw)
        path.unlink()
        clock.advance(60)
        await connection.get("/apis/example.dev", msgspec.Raw)
    sent = [each.authorization.removeprefix("Bearer ") for each in api.asked]
    assert sent == ["first", "first", "second", "second", "third", "third"]


async def test_401_without_a_newer_credential_is_not_repeated(api: ScriptedApi, tmp_path: Path) -> None:
    api.tokens = {"other"}
    async with connect(api, login=BearerToken(token=Secret("t"))) as connection:
        with pytest.raises(AuthError) as caught:
            await connection.get("/x", msgspec.Raw)
    assert caught.value.status == 401
    assert len(api.asked) == 1


async def test_401_after_the_renewal_too_is_an_error(api: ScriptedApi, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    async with connect(api, login=BearerTokenFile(path=path, subject="tokenFile")) as connection:
        await connection.get("/apis/example.dev", msgspec.Raw)
        path.write_text("second")
        api.tokens = {"third"}
        with pytest.raises(AuthError):
            await connection.get("/x", msgspec.Raw)
    assert len(api.asked) == 3


async def test_watch_goes_on_after_token_rotation(api: ScriptedApi, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    await api.put("a")
    api.tokens = {"first"}
    async with watching(api, login=BearerTokenFile(path=path, subject="tokenFile")) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        path.write_text("second")
        api.tokens = {"second"}
        await api.end_watches()
        await api.wait_for_watch(2)
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
        assert at.stats.failures == 0


async def test_watch_without_a_valid_token_says_so_once_and_goes_on_when_it_comes(
    api: ScriptedApi, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    await api.put("a")
    api.tokens = {"second"}
    async with watching(api, login=BearerTokenFile(path=path, subject="tokenFile")) as at:
        await at.collector.until_said("unauthorized")
        await at.collector.until(lambda _: at.stats.failures >= 3)
        path.write_text("second")
        await at.collector.until_listed()
    assert at.collector.told() == ["unauthorized", "a red", "listed"]


async def test_missing_token_file_says_what_to_do(api: ScriptedApi, tmp_path: Path) -> None:
    async with connect(
        api, login=BearerTokenFile(path=tmp_path / "no", subject="users[u].user.tokenFile")
    ) as connection:
        with pytest.raises(AuthError, match="put a token there") as caught:
            await connection.get("/x", msgspec.Raw)
    assert caught.value.subject == "users[u].user.tokenFile"


async def test_403_carries_the_servers_own_words(api: ScriptedApi) -> None:
    api.next_answers.append(refuse(403, 'widgets is forbidden: User "me" cannot list'))
    async with connect(api) as connection:
        with pytest.raises(AuthError, match='User "me" cannot list') as caught:
            await connection.get("/x", msgspec.Raw)
    assert caught.value.status == 403


async def test_429_and_503_carry_the_wait(api: ScriptedApi) -> None:
    async with connect(api) as connection:
        for code, header in ((429, "7"), (503, "Thu, 01 Jan 2026 00:00:30 GMT")):
            api.next_answers.append(refuse(code, headers={"Retry-After": header}))
            with pytest.raises(UpstreamError) as caught:
                await connection.get("/x", msgspec.Raw)
            assert isinstance(caught.value, RateLimitedError) is (code == 429)
            assert caught.value.retry_after_seconds == {429: 7.0, 503: 30.0}[code]


async def test_redirect_is_not_followed_with_our_credentials(api: ScriptedApi) -> None:
    api.next_answers.append(Answer(status=302, headers={"Location": "/elsewhere"}))
    async with connect(api, login=BearerToken(token=Secret("t"))) as connection:
        with pytest.raises(UpstreamError) as caught:
            await connection.get("/x", msgspec.Raw)
    assert caught.value.status == 302
    assert len(api.asked) == 1


async def test_body_over_the_bound_is_refused(api: ScriptedApi) -> None:
    api.next_answers.append(Answer(body=b"x" * 100_001))
    async with connect(api) as connection:
        with pytest.raises(OversizedError):
            await connection.get("/x", msgspec.Raw, limit_bytes=100_000)


async def test_body_of_another_shape_is_a_wire_error(api: ScriptedApi) -> None:
    async with connect(api) as connection:
        for body in (b"<html>", b"[]", b""):
            api.next_answers.append(Answer(body=body))
            with pytest.raises(WireError):
                await connection.get("/x", Who)


async def test_nobody_listening_is_retryable(api: ScriptedApi) -> None:
    async with Connection(Endpoint(name="x", server="http://127.0.0.1:1")) as connection:
        with pytest.raises(UpstreamError, match="no answer") as caught:
            await connection.get("/x", msgspec.Raw)
    assert caught.value.retryable
    assert caught.value.status is None


async def test_answer_that_takes_too_long_is_given_up(api: ScriptedApi) -> None:
    api.next_watches.append(Answer(lines=[], then="hold"))
    async with connect(api) as connection:
        with pytest.raises(UpstreamError, match=r"within 0\.2 s"):
            await connection.get("/apis/example.dev/v1/widgets", msgspec.Raw, {"watch": "1"}, timeout_seconds=0.2)


async def test_stream_gives_chunks_its_end_and_its_silence(api: ScriptedApi) -> None:
    path, params = "/apis/example.dev/v1/widgets", {"watch": "1"}
    api.next_watches.append(Answer(lines=[b"one"]))
    api.next_watches.append(Answer(lines=[b"two"], then="hold"))
    api.next_watches.append(Answer(lines=[b"three"], then="hold"))
    async with connect(api) as connection:
        async with connection.stream(path, params) as stream:
            assert await stream.read(idle_seconds=5) == b"one"
            assert await stream.read(idle_seconds=5) == b""
        async with connection.stream(path, params) as stream:
            assert await stream.read(idle_seconds=5) == b"two"
            with pytest.raises(SilenceError):
                await stream.read(idle_seconds=0.1)
        async with connection.stream(path, params) as stream:
            assert await stream.read(idle_seconds=5) == b"three"
            api.break_watches()
            with pytest.raises(UpstreamError, match="no answer"):
                await stream.read(idle_seconds=5)


async def test_cancelling_a_read_is_not_swallowed(api: ScriptedApi) -> None:
    api.next_watches.append(Answer(lines=[], then="hold"))
    async with (
        connect(api) as connection,
        connection.stream("/apis/example.dev/v1/widgets", {"watch": "1"}) as stream,
    ):
        task = asyncio.create_task(stream.read(idle_seconds=30))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cluster_is_known_by_the_uid_of_kube_system(api: ScriptedApi) -> None:
    api.next_answers.append(Answer(body=b'{"metadata":{"uid":"1234"}}'))
    async with connect(api) as connection:
        assert await connection.cluster_uid() == "1234"
        assert not (await connection.identity()).is_derived
    assert len(api.asked) == 1


async def test_cluster_whose_uid_may_not_be_read_gets_a_stable_substitute() -> None:
    found = []
    for pem in (b"A", b"A", b"B"):
        async with serving(ScriptedApi()) as api:
            api.next_answers.append(refuse(403))
            endpoint = Endpoint(name="x", server=api.url, authority=Pem(subject="ca", data=pem))
            async with Connection(endpoint) as connection:
                identity = await connection.identity()
                connection.server = "https://host"
                assert identity.is_derived
                assert identity.uid.startswith("derived-")
                found.append(connection._derived_uid())
    assert found[0] == found[1] != found[2]


async def test_unreachable_cluster_gets_no_identity(api: ScriptedApi) -> None:
    async with connect(api) as connection:
        for code in (401, 500):
            api.next_answers.append(refuse(code))
            with pytest.raises(UpstreamError):
                await connection.identity()


async def test_server_version_is_read(api: ScriptedApi) -> None:
    api.next_answers.append(Answer(body=b'{"gitVersion":"v1.36.0","platform":"linux/arm64","major":"1"}'))
    async with connect(api) as connection:
        assert (await connection.server_version()).git_version == "v1.36.0"


async def test_proxy_is_used_and_sees_no_credentials_it_was_not_given(api: ScriptedApi) -> None:
    """The scripted server plays the proxy: a plain request through it names the whole URL."""
    async with Connection(Endpoint(name="x", server="http://127.0.0.2:9", proxy_url=api.url)) as connection:
        await connection.get("/apis/example.dev", msgspec.Raw)
    assert [each.path for each in api.asked] == ["/apis/example.dev"]


async def test_closing_twice_is_closing_once(api: ScriptedApi) -> None:
    connection = connect(api)
    await connection.get("/apis/example.dev", msgspec.Raw)
    await connection.close()
    await connection.close()
