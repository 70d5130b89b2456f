"""What Slack's words of refusal mean, and what to do. It refuses with 200 and `"ok": false`.

Source: docs.slack.dev, chat.postMessage and chat.update, "Errors"; "Rate limits"
"""

from __future__ import annotations

from typing import Any

import msgspec

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.posting import Posted
from fluxtrail.remotes.waits import find_wait_seconds

NO_PREVIEWS = {"unfurl_links": False, "unfurl_media": False}
"""Slack would fetch what a message links to, and show it below."""
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})
"""A message that cannot be changed (any more): deleted, somebody else's, or too old for the workspace's rules."""
_ITS_BOT = "check token_file: the bot's token is"
_AUTH = {
    "not_authed": f"{_ITS_BOT} missing",
    "invalid_auth": f"{_ITS_BOT} wrong",
    "account_inactive": f"{_ITS_BOT} that of a bot which was removed",
    "token_revoked": f"{_ITS_BOT} revoked",
    "token_expired": f"{_ITS_BOT} expired",
    "not_allowed_token_type": f"{_ITS_BOT} of a kind that may not post; use a bot's (xoxb-…)",
    "missing_scope": "give the bot the scope chat:write, and install it again",
    "no_permission": "give the bot the scope chat:write, and install it again",
    "org_login_required": "the workspace is just being moved; an administrator must finish that",
    "ekm_access_denied": "an administrator has suspended posting",
    "not_in_channel": "invite the bot to the channel: /invite @<bot>",
    "restricted_action": "an administrator restricts who may post to the channel",
    "restricted_action_read_only_channel": "the channel is read-only",
    "team_access_not_granted": "an administrator must let the bot into the workspace",
    "access_denied": "the bot may not post there",
}
_MISSING = {
    "channel_not_found": "check channel: there is none of that name, or it is private and the bot is not invited",
    "is_archived": "the channel is archived; choose another",
    "channel_is_archived": "the channel is archived; choose another",
}
_PASSING = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
_LIMITED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})


class SlackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool
    error: str | None = None
    channel: Any = None
    ts: Any = None


def read_answer(answer: Posted, name: str) -> SlackAnswer:
    """Return what Slack says.

    Raises:
        WireError: it is not Slack that answers.
    """
    try:
        return msgspec.json.decode(answer.body, type=SlackAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError("the answer is none of Slack's API", subject=name) from exc


def refusal(word: str, answer: Posted, name: str, *, now: float) -> UpstreamError:
    """Return the error that Slack's word for it means."""
    said = redact(word, limit_bytes=100) or "no reason"
    if word in _LIMITED:
        wait = find_wait_seconds(429, answer.headers, now=now)
        return RateLimitedError(
            f"Slack asks to be left alone for {wait or 0:.0f} s ({said})",
            status=answer.status,
            retry_after_seconds=wait,
            subject=name,
        )
    if word in _AUTH:
        return AuthError(f"Slack refuses ({said}): {_AUTH[word]}", status=answer.status, subject=name)
    if word in _MISSING:
        return NotFoundError(f"Slack refuses ({said}): {_MISSING[word]}", status=answer.status, subject=name)
    is_passing = word in _PASSING
    return UpstreamError(f"Slack refuses ({said})", status=answer.status, retryable=is_passing, subject=name)
