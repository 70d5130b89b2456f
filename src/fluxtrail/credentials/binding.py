"""Credentials bound to the host, and optionally the owner, that they are for.

A URL found in data never decides which secret it is given: the binding does. The most exact binding wins
(host with port over host, longer owner over shorter), and settings win over the environment.

    credentials:
      - host: github.com
        owner: acme              # this owner and what is below it; without it the whole host
        token_file: /etc/fluxtrail/github-token
      - host: git.example.com
        ssh_key_file: /etc/fluxtrail/id_ed25519
        known_hosts_file: /etc/fluxtrail/known_hosts
      - host: github.example.com # a GitHub App instead of a token
        app_id: "123456"
        private_key_file: /etc/fluxtrail/app.pem
      - host: dev.azure.com      # an identity of a cloud: providers/entries.py
        provider: azure
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from fluxtrail.credentials.credential import TOKEN_USERNAME, Credential, Kind
from fluxtrail.credentials.entries import AZURE_HOST, Binding, known_as, parse_binding
from fluxtrail.credentials.files import SecretFiles
from fluxtrail.credentials.github_app import AppIdentity, parse_app
from fluxtrail.credentials.providers.place import Identity, Place, Provider
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact_url

__all__ = [
    "AZURE_HOST", "TOKEN_USERNAME", "Binding", "Credential", "CredentialSource", "IssuerMaker", "Kind", "TokenIssuer",
    "parse_binding", "repository_host",
]  # fmt: skip

_VARIABLES = (("GITLAB_TOKEN", "gitlab"), ("AZURE_DEVOPS_TOKEN", "azure_devops"))


class TokenIssuer(Protocol):
    """Makes the tokens of one GitHub App; see `credentials/github_app.py`."""

    async def find_token(self, owner: str) -> str | None: ...

    def may_serve(self, owner: str) -> bool: ...

    def reject(self, token: str) -> None: ...

    @property
    def secrets(self) -> tuple[str, ...]: ...


IssuerMaker = Callable[[str, AppIdentity], TokenIssuer]
"""Makes the issuer of an App on the GitHub of a host (which may name a port)."""
ProviderMaker = Callable[[str, Identity], Provider]
"""Makes the provider of an identity that is bound to a host."""
Finder = Callable[[Place], Provider | None]
"""Finds who has a credential for a place that no binding admits."""


class CredentialSource:
    """Finds the credential for a host and owner; token files are read again when they change.

    Args:
        make_issuer: for the bindings that are a GitHub App; without it they give nothing.
        make_provider: for those that are an identity of a cloud, or a Secret; the same.
        made: every secret that was made of identities, for redaction.
    """

    def __init__(
        self,
        bindings: Iterable[Binding] = (),
        *,
        make_issuer: IssuerMaker | None = None,
        make_provider: ProviderMaker | None = None,
        made: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._bindings = list(bindings)
        self._files = SecretFiles()
        self._issuers: dict[int, TokenIssuer] = {}
        self._providers: dict[int, Provider] = {}
        self._made = made
        self.find_elsewhere: Finder = lambda place: None
        """Asked where no binding admits a place: what watched sources bring, when the settings allow it."""
        for index, binding in enumerate(self._bindings):
            if binding.app is not None and make_issuer is not None:
                self._issuers[index] = make_issuer(binding.host, binding.app)
            elif binding.identity is not None and make_provider is not None:
                self._providers[index] = make_provider(binding.host, binding.identity)

    @classmethod
    def from_settings(
        cls,
        values: Sequence[Mapping[str, object]],
        *,
        environ: Mapping[str, str] | None = None,
        github_base_url: str = "https://api.github.com",
        forge_hosts: Mapping[str, str] | None = None,
        make_issuer: IssuerMaker | None = None,
        make_provider: ProviderMaker | None = None,
        made: Callable[[], tuple[str, ...]] = tuple,
    ) -> CredentialSource:
        """Build from the `credentials` setting and the environment.

        `GITHUB_TOKEN` or `GITHUB_APP_*` is bound to the host that `github_base_url` serves, `GITLAB_TOKEN` and
        `AZURE_DEVOPS_TOKEN` to one host each: that of `forge_hosts`, else gitlab.com and dev.azure.com.

        Args:
            forge_hosts: `gitlab` and `azure_devops`, and the host of each.

        Raises:
            ConfigError: an entry has an unknown field, no host, or not exactly one secret; a token and an App.
        """
        bindings = [parse_binding(value, field_name=f"credentials[{index}]") for index, value in enumerate(values)]
        environ = environ or {}
        app = parse_app(environ)
        if app is not None:
            bindings.append(Binding(host=repository_host(github_base_url), app=app))
        hosts = {"gitlab": "gitlab.com", "azure_devops": AZURE_HOST, **(forge_hosts or {})}
        stated = [("GITHUB_TOKEN", repository_host(github_base_url)), *((name, hosts[k]) for name, k in _VARIABLES)]
        for name, host in stated:
            if token := environ.get(name, "").strip():
                bindings.append(Binding(host=host, secret=token))
        return cls(bindings, make_issuer=make_issuer, make_provider=make_provider, made=made)

    def find(
        self, host: str, owner: str = "", *, port: int | None = None, kinds: tuple[Kind, ...] = ("token", "basic")
    ) -> Credential | None:
        """Return the most exactly bound credential of one of `kinds` that is there already, or None.

        Who can wait asks `obtain`, which also has what is made of Apps and identities.

        Raises:
            ConfigError: its file cannot be read; `subject` is the file.
        """
        for _, binding in self._matching(host, owner, port, kinds):
            if not binding.is_made:
                return self._credential(binding)
        return None

    async def obtain(
        self,
        host: str,
        owner: str = "",
        *,
        port: int | None = None,
        kinds: tuple[Kind, ...] = ("token", "basic"),
        path: str = "",
        is_registry: bool = False,
    ) -> Credential | None:
        """Return the most exactly bound credential of one of `kinds`, or None.

        A GitHub App that is not installed at the owner gives nothing: then the next binding counts.

        Args:
            path: of the repository, as its URL has it: AWS signs it, and what sources bring is bound to it.
            is_registry: a registry will be shown it; `owner` is then the whole repository.

        Raises:
            ConfigError: its file cannot be read; `subject` is the file. Or an identity is incomplete.
            UpstreamError and its kin: the issuer makes no token.
        """
        place = Place(host=host.lower(), owner=owner, port=port, path=path, is_registry=is_registry)
        for index, binding in self._matching(host, owner, port, kinds):
            if not binding.is_made:
                return self._credential(binding)
            found = await self._make(index, place)
            if found is not None and found.kind in kinds:
                return found
        provider = self.find_elsewhere(place)
        found = await provider.obtain(place) if provider is not None else None
        return found if found is not None and found.kind in kinds else None

    async def _make(self, index: int, place: Place) -> Credential | None:
        if index in self._issuers:
            # The owner of a repository deeper than owner/name is no owner on GitHub: `find_token` has nothing then.
            owner = place.owner.partition("/")[0] if place.is_registry else place.owner
            token = await self._issuers[index].find_token(owner)
            return Credential(kind="token", secret=token) if token is not None else None
        provider = self._providers.get(index)
        return await provider.obtain(place) if provider is not None else None

    async def renew(
        self,
        rejected: Credential,
        host: str,
        owner: str = "",
        *,
        port: int | None = None,
        kinds: tuple[Kind, ...] = ("token", "basic"),
        path: str = "",
    ) -> Credential | None:
        """Return another credential in place of one that was refused (401), or None where there is no other."""
        place = Place(host=host.lower(), owner=owner, port=port, path=path)
        self.reject(rejected.secret, place)
        found = await self.obtain(host, owner, port=port, kinds=kinds, path=path)
        return None if found is None or found.secret == rejected.secret else found

    def reject(self, secret: str, place: Place) -> None:
        """Somebody refused `secret`: where it was made, the next is another."""
        elsewhere = self.find_elsewhere(place)
        makers: list[TokenIssuer | Provider] = [*self._issuers.values(), *self._providers.values()]
        for maker in makers if elsewhere is None else (*makers, elsewhere):
            maker.reject(secret)

    def covers(self, host: str, owner: str = "", *, port: int | None = None) -> bool:
        """Whether there is, or can be, a token or password for the owner: nothing is asked, no file is read."""
        found = self._matching(host, owner, port, ("token", "basic"))
        return any(not b.is_made or self._may_make(i, owner) for i, b in found)

    def _may_make(self, index: int, owner: str) -> bool:
        return index in self._providers or (index in self._issuers and self._issuers[index].may_serve(owner))

    def allowance_of(self, host: str, owner: str = "", *, port: int | None = None) -> str:
        """Return whose allowance a call for the owner uses up, and no secret: a token is one, whoever it is used for.

        An App has one at each owner. Without a credential it is the owner's too.
        """
        place = f"{host}:{port}" if port else host
        for index, binding in self._matching(host, owner, port, ("token", "basic")):
            if binding.app is None:  # of an identity too: it is one, whoever it is used for
                return "/".join(filter(None, (binding.host, binding.owner)))
            if index in self._issuers and self._issuers[index].may_serve(owner):
                break
        return "/".join(filter(None, (place, owner.strip("/").lower())))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret known so far, the rotated ones too: what redaction must clear."""
        held = [binding.secret for binding in self._bindings] + [*self._files.secrets]
        makers: list[TokenIssuer | Provider] = [*self._issuers.values(), *self._providers.values()]
        of_makers = [secret for maker in makers for secret in maker.secrets]
        return tuple(dict.fromkeys(secret for secret in (*held, *of_makers, *self._made()) if secret))

    def _matching(self, host: str, owner: str, port: int | None, kinds: tuple[Kind, ...]) -> list[tuple[int, Binding]]:
        """Return the bindings that admit the owner, the most exact first; of equals, the one stated first."""
        host, owner = host.lower(), owner.lower()
        found = [(i, b) for i, b in enumerate(self._bindings) if b.is_one_of(kinds) and b.admits(host, owner, port)]
        ranks = {known_as(host, port): 2, host: 1}  # whatever else was admitted names the port
        return sorted(found, key=lambda pair: (ranks.get(pair[1].host, 0), -len(pair[1].owner), pair[0]))

    def _credential(self, binding: Binding) -> Credential:
        return Credential(
            kind=binding.kind,
            username=binding.username,
            secret=self._files.read(binding.secret_file) if binding.secret_file else binding.secret,
            ssh_key_file=binding.ssh_key_file,
            known_hosts_file=binding.known_hosts_file,
        )


def repository_host(github_base_url: str) -> str:
    """Return the host of the repositories that a GitHub API serves: `github.com` for `https://api.github.com`.

    Enterprise Server serves its API under its own host (`https://host/api/v3`), and data residency under
    `https://api.<name>.ghe.com` for repositories on `<name>.ghe.com`.

    Raises:
        ConfigError: it is no URL with a host.
    """
    parts = urlsplit(github_base_url)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigError(
            f"{redact_url(github_base_url)!r} is not the URL of an API, such as https://api.github.com",
            subject="setting github.base_url",
        )
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        return host.removeprefix("api.")
    return f"{host}:{parts.port}" if parts.port else host
