from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.gitops.doctor.clinic import Clinic, open_clinic


@pytest.fixture
async def clinic() -> AsyncIterator[Clinic]:
    async with open_clinic() as clinic:
        yield clinic
