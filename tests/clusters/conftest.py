from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.clusters.scripted import ScriptedApi, serving


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    async with serving(ScriptedApi()) as server:
        yield server
