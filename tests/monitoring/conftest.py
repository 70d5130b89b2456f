from __future__ import annotations

from tests.cli.golden import golden

__all__ = ["golden"]
