"""Dependencies that lead back to where they began: none of those objects can ever be the first.

Strongly connected components by Tarjan's algorithm, without recursion: a chain of dependencies may be as long as there
are objects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from fluxtrail.model.observation import ObjectKey

Graph = Mapping[ObjectKey, Sequence[ObjectKey]]


def find_cycles(graph: Graph) -> dict[ObjectKey, tuple[ObjectKey, ...]]:
    """Return for every object on a cycle the shortest way round: itself first, and at the end again."""
    found: dict[ObjectKey, tuple[ObjectKey, ...]] = {}
    for component in _components(graph):
        members = set(component)
        for key in component:
            way = _way_round(graph, key, members)
            if way:
                found[key] = way
    return found


def _way_round(graph: Graph, start: ObjectKey, members: set[ObjectKey]) -> tuple[ObjectKey, ...]:
    before: dict[ObjectKey, ObjectKey] = {}
    queue = deque([start])
    while queue:
        key = queue.popleft()
        for other in graph.get(key, ()):
            if other == start:
                return _back(before, start, key)
            if other in members and other not in before:
                before[other] = key
                queue.append(other)
    return ()


def _back(before: Mapping[ObjectKey, ObjectKey], start: ObjectKey, last: ObjectKey) -> tuple[ObjectKey, ...]:
    way = [start]
    while last != start:
        way.append(last)
        last = before[last]
    return (start, *reversed(way))


class _Visit:
    __slots__ = ("children", "key")

    def __init__(self, key: ObjectKey, children: Sequence[ObjectKey]) -> None:
        self.key = key
        self.children = iter(children)


def _components(graph: Graph) -> list[list[ObjectKey]]:
    index: dict[ObjectKey, int] = {}
    low: dict[ObjectKey, int] = {}
    stack: list[ObjectKey] = []
    is_on_stack: set[ObjectKey] = set()
    found: list[list[ObjectKey]] = []

    def enter(key: ObjectKey) -> _Visit:
        index[key] = low[key] = len(index)
        stack.append(key)
        is_on_stack.add(key)
        return _Visit(key, graph.get(key, ()))

    for root in graph:
        if root in index:
            continue
        visits = [enter(root)]
        while visits:
            visit = visits[-1]
            child = next((each for each in visit.children if each in graph), None)
            if child is None:
                visits.pop()
                if visits:
                    low[visits[-1].key] = min(low[visits[-1].key], low[visit.key])
                if low[visit.key] == index[visit.key]:
                    found.append(_pop_component(stack, is_on_stack, visit.key))
            elif child not in index:
                visits.append(enter(child))
            elif child in is_on_stack:
                low[visit.key] = min(low[visit.key], index[child])
    return found


def _pop_component(stack: list[ObjectKey], is_on_stack: set[ObjectKey], root: ObjectKey) -> list[ObjectKey]:
    component: list[ObjectKey] = []
    while True:
        key = stack.pop()
        is_on_stack.discard(key)
        component.append(key)
        if key == root:
            return component
