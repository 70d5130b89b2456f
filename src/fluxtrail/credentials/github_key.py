"""A GitHub App's private key: PEM text or a file of it, checked where it is stated, never shown.

PyJWT and cryptography are imported where a key is used: who has no App does not pay for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fluxtrail.credentials.files import SecretFiles
from fluxtrail.model.errors import ConfigError

VARIABLE = "GITHUB_APP_PRIVATE_KEY"
PATH_LIMIT = 4096
REMEDY = (
    "give the whole .pem file that GitHub made (App settings, Private keys), with its line breaks, or the path of it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKey:
    """Where the key is. `setting` names it in messages: the key itself is in none."""

    setting: str = VARIABLE
    what: str = "the GitHub App's key"
    pem: str = field(default="", repr=False)
    file: Path | None = None
    _files: SecretFiles = field(default_factory=SecretFiles, repr=False, compare=False)

    def read(self) -> str:
        """Return the PEM text; a file is read again when it changes.

        Raises:
            ConfigError: the file cannot be read.
        """
        if self.file is None:
            return self.pem
        try:
            return self._files.read(self.file)
        except ConfigError as exc:
            raise ConfigError(f"{exc.message}; {REMEDY}", subject=self.setting) from None

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.pem,) if self.pem else self._files.secrets

    def sign(self, claims: dict[str, object], *, key_id: str = "") -> str:
        """Return `claims` as a JSON web token signed with RS256.

        Args:
            key_id: the token's `kid`, where its reader knows several keys.

        Raises:
            ConfigError: the text is not a private RSA key without passphrase.
        """
        import jwt  # noqa: PLC0415 - see the module's docstring
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        try:
            # `from None`: what these libraries say may quote the key. PyJWT would load the text twice, 20 ms each time.
            key = load_pem_private_key(self.read().encode(), None)
            if not isinstance(key, RSAPrivateKey):
                raise self._refuse("is not a private RSA key in PEM form")
            return jwt.encode(claims, key, algorithm="RS256", headers={"kid": key_id} if key_id else None)
        except TypeError:
            raise self._refuse("is protected by a passphrase, or is not a private key") from None
        except (ValueError, UnsupportedAlgorithm, jwt.InvalidKeyError):
            raise self._refuse("is not a private RSA key in PEM form") from None

    def check(self) -> AppKey:
        """Return the key itself if it can sign.

        Raises:
            ConfigError: it cannot; the message names the setting and the remedy.
        """
        self.sign({"iss": "check"})
        return self

    def _refuse(self, what: str) -> ConfigError:
        return ConfigError(f"{self.what} {what}; {REMEDY}", subject=self.setting)


def parse_app_key(text: str, *, setting: str = VARIABLE) -> AppKey:
    """Return the key that `text` is or names.

    Env files and some CI systems write line breaks as a backslash and an n: they are read as such.

    Raises:
        ConfigError: it is neither PEM text nor the path of a file, or no key that can sign.
    """
    text = text.strip()
    if text.startswith("-----BEGIN"):
        return parse_app_pem(text, setting=setting)
    # A key without its first line must not become a file name that some message shows.
    if "\n" in text or "\0" in text or len(text) > PATH_LIMIT or not _is_file(Path(text)):
        raise ConfigError(f"is neither PEM text (-----BEGIN …) nor a file that exists; {REMEDY}", subject=setting)
    return AppKey(setting=setting, file=Path(text)).check()


def parse_app_pem(text: str, *, setting: str) -> AppKey:
    """Return the key that PEM text is; a path is none.

    Raises:
        ConfigError: it is not PEM text, or no key that can sign.
    """
    text = text.strip()
    pem = text.replace("\\n", "\n") if "\n" not in text else text
    return AppKey(setting=setting, pem=pem).check()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
