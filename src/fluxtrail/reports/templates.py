"""Texts that people write for statuses and messages: Jinja2, sandboxed, checked when they are read.

    {{ environment }}: {{ summary }}
    {% if cluster %}waits for {{ cluster }}{% endif %}

A template that asks for what does not exist is refused at the start, and not when a commit is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fluxtrail.model.errors import ConfigError, WireError

SOURCE_LIMIT = 8 * 1024
"""Characters of one template."""
LONGEST = 16 * 1024
"""Characters of what one gives; the rest is cut off."""

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
_ENVIRONMENT.globals = {}  # no `range`, no `lipsum`: nothing here counts or invents


class Text:
    """One template, ready to be filled in.

    Raises:
        ConfigError: it cannot be read, or uses a name that there is not.
    """

    def __init__(self, source: str, *, example: Mapping[str, Any], subject: str) -> None:
        """Args:
        example: every name that it may use, with a value of the right kind.
        subject: the setting, for errors.
        """
        self.source = source
        self._subject = subject
        if len(source) > SOURCE_LIMIT:
            raise ConfigError(f"the template has {len(source)} characters, more than {SOURCE_LIMIT}", subject=subject)
        try:
            self._render: Callable[..., str] = _ENVIRONMENT.from_string(source).render
            self._render(**example)
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as exc:
            known = ", ".join(sorted(example))
            raise ConfigError(f"the template cannot be used: {exc}; names are {known}", subject=subject) from exc

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text.

        Raises:
            WireError: these values do not fit the template; what is told names it.
        """
        try:
            return self._render(**values)[:LONGEST]
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as exc:
            raise WireError(f"the template cannot be filled in: {exc}; change it", subject=self._subject) from exc
