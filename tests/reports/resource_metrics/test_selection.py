from __future__ import annotations

from collections import Counter

import pytest
from tests.reports.resource_metrics.objects import make, render, resource_of

from fluxtrail.reports.resource_metrics.rendering import Renderer
from fluxtrail.reports.resource_metrics.selection import Rules, Shard, fnv1a, jump_hash


@pytest.mark.parametrize(
    ("keep", "drop", "is_kept"),
    [
        ((), (), True),
        (("Kustomization",), (), True),
        (("HelmRelease",), (), False),
        (("HelmRelease", "*/apps"), (), True),
        (("Kustomization/apps/web",), (), True),
        (("Kustomization/apps/we?",), (), True),
        (("Kustomization/app",), (), False),
        ((), ("Kustomization",), False),
        ((), ("*/preview-*",), True),
        ((), ("*/*/web",), False),
        ((), ("Kustom*",), False),
        (("Kustomization",), ("*/apps/w*",), False),
        ((), ("Kustomization//web",), False),
    ],
)
def test_rules_decide_by_kind_namespace_and_name(keep: tuple[str, ...], drop: tuple[str, ...], is_kept: bool) -> None:
    renderer = Renderer(resource_of("Kustomization"), rules=Rules(keep=keep, drop=drop))
    assert (render(renderer, make("Kustomization")) is not None) is is_kept


@pytest.mark.parametrize(
    ("text", "value"), [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)]
)
def test_hash_has_the_values_of_its_definition(text: str, value: int) -> None:
    assert fnv1a(text.encode()) == value


@pytest.mark.parametrize(
    ("key", "buckets", "bucket"),
    [(1, 1, 0), (42, 57, 43), (0xDEAD10CC, 1, 0), (0xDEAD10CC, 666, 361), (256, 1024, 520)],
)
def test_jump_has_the_values_of_its_reference(key: int, buckets: int, bucket: int) -> None:
    assert jump_hash(key, buckets) == bucket


def test_every_object_is_in_one_shard_and_few_move_when_one_is_added() -> None:
    uids = [f"9f0c2d8e-0000-4000-8000-{number:012x}" for number in range(3_000)]
    homes = {uid: [number for number in range(3) if Shard(number, 3).has(uid)] for uid in uids}
    assert {len(home) for home in homes.values()} == {1}
    sizes = Counter(home[0] for home in homes.values())
    assert all(900 < size < 1_100 for size in sizes.values())
    moved = [uid for uid, home in homes.items() if not Shard(home[0], 4).has(uid)]
    assert len(moved) < 900
    assert all(Shard(3, 4).has(uid) for uid in moved)


def test_objects_of_other_shards_have_no_lines() -> None:
    renderers = [Renderer(resource_of("Alert"), shard=Shard(number, 2)) for number in range(2)]
    shown = [[render(renderer, make("Alert", name=f"a{n}")) is not None for n in range(20)] for renderer in renderers]
    assert all(first != second for first, second in zip(*shown, strict=True))
    assert any(shown[0])
    assert any(shown[1])
