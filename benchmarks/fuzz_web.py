"""Requests made up from the OpenAPI descriptions, right and wrong, at the hooks listener and the API: never a 5xx.

    python -m benchmarks.fuzz_web --cases 10000 --seed 1
    python -m benchmarks.fuzz_web --cases 10000 --only hooks

Both are served as `fluxtrail run` serves them, over a real ledger on disk. Half of the cases of each operation are
right by its description, half are not; hooks are posted with a signature, with a secret, wrongly signed and unsigned in
turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import requests
import schemathesis
from benchmarks.measuring import Stopwatch, log_warnings_only, report
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.web.worlds import NOW, World

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.notices import Hook
from fluxtrail.web import app as api
from fluxtrail.web.hooks.app import CONNECTIONS, create_hooks_app
from fluxtrail.web.hooks.description import describe as describe_hooks
from fluxtrail.web.hooks.senders import Sender
from fluxtrail.web.server import Listener, WebServer

SECRET = "a secret of the fuzzing, of some length"
HOOKS, API, API_ON_LEDGER = "hooks", "api", "api-on-ledger"
"""The API over a small world with something of everything, and over a real ledger with nothing in it."""
SURFACES = (HOOKS, API, API_ON_LEDGER)
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
SHOWN = 600
START_SECONDS = 30.0
REQUEST_SECONDS = 30.0
ANONYMOUS_PER_MINUTE = 600
Headers = Callable[[requests.PreparedRequest], Mapping[str, str]]


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Tally:
    """What came of many cases."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """The first case of each kind of failure, by what it was."""
    failed: int = 0

    @property
    def cases(self) -> int:
        return self.statuses.total()

    def fail(self, what: str, case: str) -> None:
        self.failed += 1
        self.failures.setdefault(what, case[:SHOWN])


@contextmanager
def served(folder: Path) -> Iterator[dict[str, str]]:
    """Serve every surface from a thread of its own; yields their URLs."""
    urls: dict[str, str] = {}
    is_up = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(folder, urls, is_up, stop),))
    thread.start()
    try:
        if not is_up.wait(START_SECONDS):
            raise RuntimeError("the listeners do not start")
        yield urls
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _serve(folder: Path, urls: dict[str, str], is_up: threading.Event, stop: asyncio.Event) -> None:
    ledger = await SqlLedger.open(folder / "ledger.sqlite", clock=SystemClock())
    world = World()
    hooks = create_hooks_app(
        [Sender(name="prod", secret=SECRET)],
        ledger.inbox,
        now=SystemClock().now,
        monotonic=time.monotonic,
        anonymous={Hook.GITOPSPHASE: ANONYMOUS_PER_MINUTE},
    )
    known = api.create_app(answers=world, report=world, now=lambda: NOW, records=world, chains=world)
    real = api.create_app(answers=ledger, report=world, now=SystemClock().now)
    listeners = [
        Listener(name=HOOKS, app=hooks, host="127.0.0.1", port=0, connections=CONNECTIONS),
        Listener(name=API, app=known, host="127.0.0.1", port=0),
        Listener(name=API_ON_LEDGER, app=real, host="127.0.0.1", port=0),
    ]
    try:
        async with WebServer(listeners) as server, asyncio.TaskGroup() as group:
            job = group.create_task(hooks.run())
            await asyncio.sleep(0)
            urls.update({name: address.url for name, address in server.addresses.items()})
            is_up.set()
            await stop.wait()
            job.cancel()
    finally:
        await ledger.close()


class _Proofs:
    """Shows that a request is somebody's: rightly, wrongly and not at all in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        given_body = request.body or b""
        assert isinstance(given_body, bytes | str)
        body = given_body.encode() if isinstance(given_body, str) else given_body
        self._turn += 1
        match self._turn % 8:
            case 0:
                request.headers["Authorization"] = f"Bearer {SECRET}"
            case 1:
                request.headers["X-Signature"] = "sha256=" + hmac.digest(b"another secret", body, "sha256").hex()
            case 2:
                pass
            case _:
                request.headers["X-Signature"] = "sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex()
        return request


class Fuzz:
    """Sends cases to one surface."""

    def __init__(self, surface: str, url: str, *, number: int) -> None:
        self.tally = Tally()
        self._url = url
        self._seed = number
        self._session = requests.Session()
        document = describe_hooks() if surface == HOOKS else msgspec.json.decode(api.describe())
        self._auth = _Proofs() if surface == HOOKS else None
        self._schema = schemathesis.openapi.from_dict(document)

    def run(self, cases: int) -> Tally:
        """Send at least so many cases, shared by the operations: one without parameters has few."""
        operations = [result.ok() for result in self._schema.get_all_operations() if isinstance(result, Ok)]
        while (left := cases - self.tally.cases) > 0 and not self.tally.failed:
            for operation in operations:
                for mode in GenerationMode:
                    self._run(operation, mode, -(-left // (2 * len(operations))))
            self._seed += 1
        return self.tally

    def _run(self, operation: Any, mode: GenerationMode, cases: int) -> None:
        @seed(self._seed)
        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: schemathesis.Case[Any]) -> None:
            self._send(case)

        with contextlib.suppress(Unsatisfiable):  # nothing to be wrong in
            send()

    def _send(self, case: schemathesis.Case[Any]) -> None:
        # The feed's other form has no end.
        headers = {"Accept": "application/json"}
        where = f"{case.method} {case.path}"
        try:
            response = case.call(
                base_url=self._url, session=self._session, headers=headers, auth=self._auth, timeout=REQUEST_SECONDS
            )
        except requests.exceptions.InvalidHeader:
            return  # the client's own refusal
        except requests.exceptions.RequestException as exc:
            self.tally.fail(f"{where}: no answer: {type(exc).__name__}", repr(case))
            return
        self.tally.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as exc:
            failures = exc.exceptions if isinstance(exc, FailureGroup) else [exc]
            for failure in failures:
                self.tally.fail(f"{where}: {type(failure).__name__} ({response.status_code})", case.as_curl_command())


def run_cases(cases: int, *, number: int, only: str = "") -> dict[str, Tally]:
    """Return what came of `cases` on each surface."""
    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as urls:
        for surface in SURFACES:
            if only in ("", surface):
                found[surface] = Fuzz(surface, urls[surface], number=number).run(cases)
    return found


def main() -> int:
    options = _options()
    log_warnings_only()
    failed = 0
    watch = Stopwatch()
    for surface, tally in run_cases(options.cases, number=options.seed, only=options.only).items():
        failed += tally.failed
        report(
            "fuzz_web",
            f"{tally.cases:,} requests at {surface}, seed {options.seed}",
            bar="no 5xx, no answer but the described ones",
            failures=tally.failed,
            server_errors=sum(number for status, number in tally.statuses.items() if status >= 500),
            statuses=" ".join(f"{status}:{number}" for status, number in sorted(tally.statuses.items())),
        )
        for what, case in tally.failures.items():
            print(f"{what}\n    {case}", file=sys.stderr)
    print(f"# {watch.seconds:.0f} s", flush=True)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="for each surface")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", choices=["", *SURFACES])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
