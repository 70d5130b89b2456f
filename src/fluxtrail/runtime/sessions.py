"""HTTP sessions for what is asked outside: one for each proxy, without cookies, without `~/.netrc`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

import aiohttp

from fluxtrail.clusters.proxies import proxy_from_environment


class Sessions:
    """Opens a session where an address needs another proxy than those before; `stack` closes them.

    aiohttp's own reading of the environment would show a login of `~/.netrc` to hosts that no credential is bound
    to. A session that kept cookies would answer one owner's question as another.
    """

    def __init__(self, stack: AsyncExitStack, environ: Mapping[str, str]) -> None:
        self._stack, self._environ = stack, environ
        self._by_proxy: dict[str | None, aiohttp.ClientSession] = {}

    def to(self, url: str) -> aiohttp.ClientSession:
        """Return the session for `url` and what else goes the same way."""
        proxy = proxy_from_environment(url, self._environ)
        session = self._by_proxy.get(proxy)
        if session is None:
            session = aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy)
            self._stack.push_async_callback(session.close)
            self._by_proxy[proxy] = session
        return session
