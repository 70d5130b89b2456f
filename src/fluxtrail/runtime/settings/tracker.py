"""deployment-tracker's environment: its names in the code and in its README, and what each one is here.

They only count where deployment records are enabled: a variable such as CLUSTER may well mean something else to
somebody who does not use them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from fluxtrail.credentials.github_app import AppIdentity, make_identity
from fluxtrail.credentials.github_key import REMEDY, AppKey, parse_app_key
from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.records import DeploymentRecordsSetting

log = structlog.get_logger(__name__)

TRACKER_NAMES = {
    "GITHUB_ORG": "deployment_records.organization",
    "ORG": "deployment_records.organization",
    "LOGICAL_ENVIRONMENT": "deployment_records.logical_environment",
    "PHYSICAL_ENVIRONMENT": "deployment_records.physical_environment",
    "CLUSTER": "deployment_records.cluster",
    "BASE_URL": "deployment_records.base_url",
    "DN_TEMPLATE": "deployment_records.name_template",
    "BULK_CLUSTER_SYNC": "deployment_records.bulk",
}
"""deployment-tracker's variables and the setting each one is. They lose to `FLUXTRAIL_…` and to flags."""
TRACKER_CREDENTIALS = (
    "API_TOKEN",
    "GH_APP_ID",
    "GH_INSTALL_ID",
    "GH_APP_PRIV_KEY_PATH",
    "GH_APP_PRIV_KEY",
    "GH_APP_PRIVATE_KEY",
)
"""Its other variables: these are no settings, see `read_credentials`."""

_KEY, _PATHS = "GH_APP_PRIVATE_KEY", ("GH_APP_PRIV_KEY_PATH", "GH_APP_PRIV_KEY")
_NEEDED = ("GITHUB_ORG", "LOGICAL_ENVIRONMENT", "CLUSTER")
_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "WARNING", "TRACE")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCredentials:
    """What is shown to the API that takes the records, and to nobody else: the App before the token."""

    app: AppIdentity | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None


def read_tracker(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings, by their dotted names, that deployment-tracker's variables make.

    Raises:
        ConfigError: two names of one setting have different values.
    """
    found: dict[str, Any] = {}
    _one_of(environ, "GITHUB_ORG", "ORG")
    for name, setting in TRACKER_NAMES.items():
        if value := environ.get(name, ""):
            # Whatever is not "true" turned it off there.
            found[setting] = value.strip().lower() == "true" if name == "BULK_CLUSTER_SYNC" else value
    if not _is_level(environ.get("LOG_LEVEL", "")):
        found["log_level"] = "INFO"
    return found


def read_credentials(setting: DeploymentRecordsSetting, environ: Mapping[str, str]) -> RecordCredentials:
    """Return the credentials stated for the records alone; an empty one where there is none.

    `deployment_records.token_file` wins over the variables, and the App over the token. An App that is stated in part
    is left out where there is a token, as it was.

    Raises:
        ConfigError: two keys, or an App that cannot be used. `subject` is the variable; no secret is quoted.
    """
    if setting.token_file is not None:
        return RecordCredentials(token_file=setting.token_file)
    token = environ.get("API_TOKEN", "").strip()
    app_id, installation = (environ.get(name, "").strip() for name in ("GH_APP_ID", "GH_INSTALL_ID"))
    path, encoded = _one_of(environ, *_PATHS), environ.get(_KEY, "").strip()
    if path and encoded:
        raise ConfigError(
            f"Both {_KEY} and {_PATHS[0]} are set. Only one can be used: unset one of them",
            subject=f"{_KEY}, {_path_name(environ)}",
        )
    if not (app_id or installation or path or encoded):
        return RecordCredentials(token=token)
    missing = [name for name, value in (("GH_APP_ID", app_id), (_KEY, path or encoded)) if not value]
    if missing and token:
        log.warning("github app left out", missing=missing[0], used="API_TOKEN")
        return RecordCredentials(token=token)
    if missing:
        raise ConfigError(f"is missing: a GitHub App needs GH_APP_ID and {_KEY} or {_PATHS[0]}", subject=missing[0])
    key = _decode_key(encoded) if encoded else parse_app_key(path, setting=_path_name(environ))
    app = make_identity(app_id, key, installation, field_names=("GH_APP_ID", "GH_INSTALL_ID"))
    return RecordCredentials(app=app, token=token)


def tell_of_tracker(setting: DeploymentRecordsSetting, environ: Mapping[str, str], *, log_level: str) -> None:
    """Log what somebody who comes from deployment-tracker should know of the start."""
    if not setting.enabled and all(environ.get(name) for name in _NEEDED):
        log.info(
            "deployment records are off",
            variables=list(_NEEDED),
            remedy="the variables are deployment-tracker's: to take its place, run with --deployment-records",
        )
    level = environ.get("LOG_LEVEL", "")
    if setting.enabled and not _is_level(level):
        log.warning("log level unknown", given=level[:40], used=log_level, known=["DEBUG", "INFO", "WARN", "ERROR"])


def _is_level(text: str) -> bool:
    return not text or text.upper() in _LEVELS


def _one_of(environ: Mapping[str, str], first: str, second: str) -> str:
    """Return the value that two names of one thing have. Raises ConfigError where they differ."""
    one, other = (environ.get(name, "").strip() for name in (first, second))
    if one and other and one != other:
        raise ConfigError("they mean the same and have different values; unset one", subject=f"{first}, {second}")
    return one or other


def _path_name(environ: Mapping[str, str]) -> str:
    return _PATHS[0] if environ.get(_PATHS[0], "").strip() else _PATHS[1]


def _decode_key(text: str) -> AppKey:
    """Return the key of standard base64, over several lines too; PEM text itself is taken as well."""
    if text.startswith("-----BEGIN"):
        return parse_app_key(text, setting=_KEY)
    try:
        pem = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        # `from None`: the exception may quote what was given.
        raise ConfigError(f"is not base64 of a PEM file (base64 -w0 key.pem); {REMEDY}", subject=_KEY) from None
    if not pem.strip().startswith("-----BEGIN"):
        raise ConfigError(f"holds base64, but not of a PEM file (-----BEGIN …); {REMEDY}", subject=_KEY)
    return parse_app_key(pem, setting=_KEY)
