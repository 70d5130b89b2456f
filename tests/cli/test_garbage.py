"""While modules are imported no garbage is looked for; afterwards it is, but seldom."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from fluxtrail.cli.garbage import YOUNG, collect_seldom, nothing_collected


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.enable()


def test_nothing_is_collected_meanwhile() -> None:
    with nothing_collected():
        assert not gc.isenabled()
        with nothing_collected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ModuleNotFoundError), nothing_collected():
        import fluxtrail.nothing  # type: ignore[import-not-found]  # noqa: F401
    assert gc.isenabled()


def test_what_is_there_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    kept = [[number] for number in range(100)]
    collect_seldom()
    assert gc.get_freeze_count() >= before + len(kept)
    assert gc.get_threshold()[0] == YOUNG
