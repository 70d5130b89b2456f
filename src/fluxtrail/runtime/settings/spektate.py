"""The section `spektate`: whether clients of Spektate's backend are answered."""

from __future__ import annotations

from fluxtrail.runtime.settings.values import Section


class SpektateSetting(Section):
    enabled: bool = True
    """Answer `/api/deployments`, `/api/flux`, `/api/version` and `/api/health`, to whoever may read the API."""
