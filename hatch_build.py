"""Puts the pages' third-party scripts into a wheel: they are fetched when it is built, so nobody needs Node."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WITHOUT = "FLUXTRAIL_BUILD_WITHOUT_SCRIPTS"


class ScriptsHook(BuildHookInterface[Any]):
    """Fails a build that cannot have them; whoever wants such a wheel says so (`FLUXTRAIL_BUILD_WITHOUT_SCRIPTS=1`).

    An editable installation serves the checkout: there `make` and `fluxtrail demo` bring them.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or os.environ.get(WITHOUT):
            return
        sys.path.insert(0, str(Path(self.root) / "src"))
        from fluxtrail.web.pages.vendoring import bring_all  # noqa: PLC0415 - only there once the path is

        came = bring_all()
        if came:
            self.app.display_info(f"brought {', '.join(came)}")
        build_data["artifacts"].append("src/fluxtrail/web/pages/static/vendor/*")
