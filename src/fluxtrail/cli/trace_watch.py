"""`fluxtrail trace --watch`: the trail drawn again whenever it changes, until the commit is settled and runs."""

from __future__ import annotations

import click
import msgspec

from fluxtrail.cli.client import AmbiguousError, Client
from fluxtrail.cli.output import print_change
from fluxtrail.cli.picture import Picture
from fluxtrail.cli.screen import Screen
from fluxtrail.cli.trace import candidates_text, narrowed
from fluxtrail.cli.waiting import WILL_NOT_HAPPEN, Exit
from fluxtrail.cli.watch import Looker, Pace, interruptible
from fluxtrail.cli.words import OPEN_RUNNING, zone
from fluxtrail.model.views import TrailView


class TrailWatch:
    """One `trace --watch`."""

    def __init__(
        self,
        client: Client,
        query: str,
        *,
        clusters: tuple[str, ...],
        targets: tuple[str, ...],
        output: str,
        is_utc: bool,
    ) -> None:
        self._client = client
        self._query = query
        self._looker = Looker(client, query)
        self._narrowing = {"clusters": clusters, "targets": targets}
        self._output = output
        self._zone = zone(is_utc=is_utc)
        self._screen = Screen()
        self._told = ""
        self._last: TrailView | None = None

    def run(self) -> Exit:
        """Show it until it is settled; returns the exit code, which is as that of `wait`."""
        try:
            with interruptible():
                return self._run()
        except AmbiguousError as exc:
            raise click.UsageError(candidates_text(exc.candidates, self._query)) from exc

    def _run(self) -> Exit:
        has_changed = self._look()
        if self._is_over():
            return exit_of(self._shown())
        with Pace(self._client, self._screen.note) as pace:
            while not self._is_over():
                pace.wait(self._looker.is_about, has_changed=has_changed, is_answered=self._looker.is_answered)
                has_changed = self._look()
        return exit_of(self._shown())

    def _look(self) -> bool:
        """Look and show; returns whether something is new."""
        problem = self._looker.look()
        if problem:
            is_new = problem != self._told
            if is_new:
                self._screen.note(problem)
            self._told = problem
            return is_new
        self._told = ""
        trail = self._shown()
        has_changed = self._last is None or _lasting(trail) != _lasting(self._last)
        if has_changed or self._screen.is_live:
            self._show(trail, is_first=self._last is None, has_changed=has_changed)
        self._last = trail
        return has_changed

    def _show(self, trail: TrailView, *, is_first: bool, has_changed: bool) -> None:
        if self._output == "name":
            if is_first:
                click.echo(f"commit/{trail.commit.sha}")
        elif self._output in ("json", "yaml"):
            if has_changed:
                print_change(trail, self._output)
        else:
            out, is_wide = self._screen.out, self._output == "wide"
            picture = Picture(trail, out, now=self._client.now, where=self._zone, is_wide=is_wide)
            lines = list(picture.lines())
            if self._screen.is_live and not is_over(trail):
                until = "runs" if trail.is_settled else "is settled"
                lines += ["", out.style(f"  watching until it {until}; Ctrl-C ends", "dim")]
            self._screen.draw(lines)

    def _is_over(self) -> bool:
        return self._looker.trail is not None and is_over(self._shown())

    def _shown(self) -> TrailView:
        if self._looker.trail is None:
            raise AssertionError("nothing was seen yet")
        return narrowed(self._looker.trail, **self._narrowing)


def is_over(trail: TrailView) -> bool:
    """Settled, and nothing of it is on its way to running."""
    return trail.is_settled and not any(d.running in OPEN_RUNNING for d in trail.deliveries)


def exit_of(trail: TrailView) -> Exit:
    """Return what a settled trail ends with."""
    verdicts = {delivery.verdict for delivery in trail.deliveries}
    if verdicts & WILL_NOT_HAPPEN:
        return Exit.WILL_NOT_HAPPEN
    return Exit.FAILED if "failed" in verdicts else Exit.OK


def _lasting(trail: TrailView) -> TrailView:
    """The trail without what changes by itself as time passes."""
    return msgspec.structs.replace(trail, commit=msgspec.structs.replace(trail.commit, oldest_pending_seconds=None))
