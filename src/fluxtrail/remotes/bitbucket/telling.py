"""What both Bitbuckets share: limits, words, and which right a refusal asks for."""

from __future__ import annotations

import msgspec

from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.writing import cut_context, cut_line, web_address

TEXT_LIMIT = 255
ADDRESS_LIMIT = 450
"""A Server's; Cloud documents none."""
STATES = {
    "SUCCESSFUL": StatusState.SUCCESS,
    "FAILED": StatusState.FAILURE,
    "STOPPED": StatusState.ERROR,
    "CANCELLED": StatusState.ERROR,
}
"""All others (INPROGRESS, UNKNOWN) are not there yet."""
RIGHT = (
    "build statuses need a token that may read the repository (Cloud: scope repository, or read:repository:bitbucket; "
    "Server: repository read), and only whoever made one may change it"
)


class WireStatus(msgspec.Struct, frozen=True, kw_only=True):
    key: str | None = None
    state: str | None = None
    name: str | None = None
    description: str | None = None
    url: str | None = None


def kept(status: CommitStatus, words: dict[StatusState, str]) -> CommitStatus:
    """Return `status` in the words of a Bitbucket, cut to its limits."""
    # Bitbucket fills in what stands in braces.
    address = web_address(status.url.replace("{", "%7B").replace("}", "%7D"), limit=ADDRESS_LIMIT)
    return CommitStatus(
        state=STATES.get(words[status.state], StatusState.PENDING),
        context=cut_context(status.context, TEXT_LIMIT),
        description=cut_line(status.description, TEXT_LIMIT, is_utf16=True),
        url=address,
    )


def read(wire: WireStatus, context: str, *, page: str) -> CommitStatus:
    """Return what is kept there.

    Args:
        page: what an address is where none was given.
    """
    return CommitStatus(
        state=STATES.get(wire.state or "", StatusState.PENDING),
        context=context,
        description=wire.description or "",
        url="" if wire.url == page else wire.url or "",
    )
