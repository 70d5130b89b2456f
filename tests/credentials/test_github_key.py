"""Where an App's key comes from, and what is said about one that cannot be used."""

from __future__ import annotations

import base64
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fluxtrail.credentials.github_app import parse_app
from fluxtrail.credentials.github_key import AppKey, parse_app_key
from fluxtrail.model.errors import ConfigError


def encrypted(pem: str) -> str:
    key = load_pem_private_key(pem.encode(), None)
    algorithm = serialization.BestAvailableEncryption(b"word")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, algorithm).decode()


def elliptic() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def public(pem: str) -> str:
    key = load_pem_private_key(pem.encode(), None).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def body_of(pem: str) -> str:
    return "".join(line for line in pem.splitlines() if not line.startswith("-"))


def test_pem_text_is_taken(pem: str) -> None:
    assert parse_app_key(pem).sign({"iss": "1"}).startswith("eyJ")


def test_line_breaks_may_be_escaped(pem: str) -> None:
    assert parse_app_key(pem.replace("\n", "\\n")).sign({"iss": "1"}).startswith("eyJ")


def test_a_file_is_taken_and_read_again_when_it_changes(pem: str, tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    file.write_text(pem)
    key = parse_app_key(str(file))
    assert key.sign({"iss": "1"}).startswith("eyJ")
    file.write_text("no key any more")
    with pytest.raises(ConfigError, match="not a private RSA key"):
        key.sign({"iss": "1"})
    file.unlink()
    with pytest.raises(ConfigError, match=r"GITHUB_APP_PRIVATE_KEY.*cannot be read"):
        key.sign({"iss": "1"})


@pytest.mark.parametrize(
    "what", ["cut", "no header", "elliptic", "encrypted", "public", "named public", "base64", "word"]
)
def test_a_bad_key_names_the_variable_and_the_remedy_and_is_never_shown(what: str, pem: str) -> None:
    lines = pem.strip().splitlines()
    text = {
        "cut": "\n".join([*lines[:9], lines[-1]]),
        "no header": "\n".join(lines[1:-1]),
        "elliptic": elliptic(),
        "encrypted": encrypted(pem),
        "public": public(pem),
        "named public": pem.replace("RSA PRIVATE", "PUBLIC"),
        "base64": base64.b64encode(pem.encode()).decode()[:3000],
        "word": "hunter2hunter2",
    }[what]
    with pytest.raises(ConfigError) as caught:
        parse_app_key(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert "GITHUB_APP_PRIVATE_KEY" in str(caught.value)
    assert "with its line breaks" in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None
    body = body_of(text) if "-----" in text else text.replace("\n", "")
    pieces = [body[i : i + 14] for i in range(0, len(body) - 13, 14)]
    assert pieces
    assert not [piece for piece in pieces if piece in shown.replace("\n", "").replace(" ", "")]


def test_neither_key_nor_identity_shows_the_secret(pem: str) -> None:
    app = parse_app({"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": pem})
    assert app is not None
    assert body_of(pem)[20:40] not in repr(app)
    assert "PRIVATE KEY" not in repr(AppKey(pem=pem))


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"GITHUB_APP_ID": "1"}, r"GITHUB_APP_PRIVATE_KEY: is missing"),
        ({"GITHUB_APP_PRIVATE_KEY": "x"}, r"GITHUB_APP_ID: is missing"),
        ({"GITHUB_APP_INSTALLATION_ID": "5"}, r"GITHUB_APP_ID: is missing"),
        ({"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": "PEM", "GITHUB_TOKEN": "t"}, r"exclude each other"),
        ({"GITHUB_APP_ID": "my app", "GITHUB_APP_PRIVATE_KEY": "PEM"}, r"GITHUB_APP_ID: 'my app' is no App id"),
        (
            {"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": "PEM", "GITHUB_APP_INSTALLATION_ID": "acme"},
            r"GITHUB_APP_INSTALLATION_ID: 'acme' is no installation id",
        ),
    ],
)
def test_the_variables_come_together_and_exclude_a_token(environ: dict[str, str], message: str, pem: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_app({name: pem if text == "PEM" else text for name, text in environ.items()})


def test_empty_variables_are_no_app() -> None:
    assert parse_app({"GITHUB_APP_ID": "", "GITHUB_APP_PRIVATE_KEY": " ", "GITHUB_TOKEN": "t"}) is None


def test_the_installation_may_be_left_out(pem: str) -> None:
    app = parse_app({"GITHUB_APP_ID": "Iv23liAbCdEf", "GITHUB_APP_PRIVATE_KEY": pem})
    assert app is not None
    assert app.installation_id is None
    stated = parse_app({"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": pem, "GITHUB_APP_INSTALLATION_ID": "77"})
    assert stated is not None
    assert stated.installation_id == 77
