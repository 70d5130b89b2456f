"""Fixtures for all tests, and what must not be skipped silently."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from tests.cli.golden import golden, pytest_addoption
from xdist.scheduler import LoadFileScheduling

__all__ = ["golden", "pytest_addoption"]

REQUIRED = os.environ.get("FLUXTRAIL_TEST_REQUIRE", "").replace(",", " ").split()
"""Real parts (`prometheus`, `registry`, ...) whose tests fail where they would be skipped for want of them."""


settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
"""Four processes share two processors: slow is what has to wait."""

RECORDS = "tests/crash/test_records.py"
WAITING = ("tests/crash/", "tests/simulator/test_demo.py")
"""What takes a minute a test, and waits for real processes most of it."""
FIRST = (*WAITING, "tests/ledger/test_two_processes.py")
"""What takes longest of all."""
YOUNG = 20_000
"""New objects between two looks for garbage: with Python's 700, looking takes a fifth of the time of all tests."""
NICENESS = 2
"""Of all others: what is killed and started again, and what is looked at in time, shall not wait for what computes."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays to the end: looking for garbage in it takes a third of the time, and is never needed."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(YOUNG)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that runs in a test's own process sets up its log: for that test alone."""
    was_configured, before = structlog.is_configured(), structlog.get_config()
    yield
    if was_configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first: files are handed out in this order, and none of them shall begin last."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if hasattr(item.config, "workerinput") and not item.nodeid.startswith(FIRST):
        _give_way()


@cache
def _give_way() -> None:
    os.nice(NICENESS)


class _Scheduling(LoadFileScheduling):
    """A file at a time to each process; all that waits to two of them, so that the others have the processors."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(WAITING) and not nodeid.startswith(RECORDS):
            return WAITING[0]
        return str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling | None:
    return _Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """A test marked `requires(part)` may be skipped only where the part is not required."""
    outcome = yield
    report = outcome.get_result()
    marker = item.get_closest_marker("requires")
    if report.skipped and marker is not None and set(marker.args) & set(REQUIRED):
        report.outcome = "failed"
        report.longrepr = f"{marker.args} required by FLUXTRAIL_TEST_REQUIRE, and absent: {report.longrepr}"
