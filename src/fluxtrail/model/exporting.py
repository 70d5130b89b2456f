"""Whether a commit still waits for an export of its own somewhere, though another export of it has come. Pure.

Some pipelines export a commit once, to all environments; others once for each: to manifests repositories, branches or
folders of their own, one after the other, or when somebody promotes it. Nobody states which, so it is read from what
the pipeline did last. A *place* is a cluster and the branch that it follows there:

    an export of the commit changed something there              what became of that counts
    the export that changed it last, changed too where the       that export left it out: nothing to deliver
    commit has come by now
    of the last commit that came to both, each had an export     it waits for its own: `awaiting_export`
    of its own
    a later commit of the branch was exported there              it was passed over: nothing to deliver
    no commit ever came to both                                  it is not exported there: nothing to deliver
    it is the first to be exported at all, and the settings      `awaiting_export`, until a second one is exported
    name other manifests repositories too
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import TypeVar

P = TypeVar("P", bound=Hashable)


def places_apart(reached: Set[P], earlier: Sequence[Mapping[int, Set[P]]]) -> set[P]:
    """Return the places that get an export of their own, and that the commit has not come to.

    Args:
        reached: where the commit has come.
        earlier: of commits before it, the nearest first: the places that each of their exports changed.
    """
    together: set[P] = set()
    apart: set[P] = set()
    for exports in earlier:
        here = _union(places for places in exports.values() if places & reached)
        if not here:
            continue  # it came to none of these places: of them it says nothing
        elsewhere = _union(places for places in exports.values() if not places & reached)
        apart |= elsewhere - here - together
        together |= here - apart
    return apart - reached


def _union(sets: Iterable[Set[P]]) -> set[P]:
    return {item for one in sets for item in one}
