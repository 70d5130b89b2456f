"""The tokens of the settings, for those who keep the door of the API and the pages."""

from __future__ import annotations

from fluxtrail.runtime.settings.sections import ApiSetting
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.tokens import Token

FIRST_TOKEN = "token"  # noqa: S105 - the name of who holds the one in api.token_file


def open_doorkeeper(setting: ApiSetting) -> Doorkeeper:
    """Return who knows the tokens of now.

    Raises:
        ConfigError: a file cannot be read, or what it holds is no token.
    """
    tokens = [
        Token(name=item.name, role=item.role, file=item.token_file, repositories=item.repositories)
        for item in setting.tokens
    ]
    if setting.token_file is not None:
        tokens.insert(0, Token(name=FIRST_TOKEN, file=setting.token_file))
    return Doorkeeper(tokens)
