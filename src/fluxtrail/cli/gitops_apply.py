"""`fluxtrail gitops apply`: what would change, shown first; then done, in order."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fluxtrail.cli.gitops_cluster import (
    FAILED,
    Place,
    cluster_options,
    output_option,
    run,
    say,
)

if TYPE_CHECKING:
    from fluxtrail.clusters.connection import Connection
    from fluxtrail.gitops.apply.applying import Outcome
    from fluxtrail.gitops.apply.planning import Step
    from fluxtrail.gitops.apply.reading import Declared

FIELD_MANAGER = "fluxtrail-gitops"
CHOICES = ("sources", "kustomizations", "releases", "all")
_WORD_WIDTH = 12
_STYLES = {
    "create": "deployed",
    "create later": "deployed",
    "change": "pending",
    "delete": "failed",
    "conflict": "failed",
    "refused": "failed",
    "unchanged": "dim",
    "created": "deployed",
    "configured": "deployed",
    "deleted": "pending",
    "failed": "failed",
}


@click.command(name="apply")
@click.argument("choices", nargs=-1, type=click.Choice(CHOICES))
@click.option(
    "-f",
    "--filename",
    "paths",
    metavar="PATH",
    multiple=True,
    required=True,
    help="A file or folder of manifests; `-` is standard input.",
)
@click.option("-n", "--namespace", metavar="NAME", help="Of objects that name none; else the context's.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and stop.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force-conflicts", is_flag=True, help="Take fields that others own.")
@click.option("--prune", is_flag=True, help="Delete what was applied under this field manager and is in no file.")
@click.option(
    "--field-manager", metavar="NAME", default=FIELD_MANAGER, show_default=True, help="In whose name fields are owned."
)
@click.option("--no-diff", is_flag=True, help="List the changes without showing them.")
@cluster_options
@output_option
def apply(
    choices: tuple[str, ...],
    paths: tuple[str, ...],
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    **flags: Any,
) -> None:
    """Apply Flux's objects by server-side apply, sources first.

    `sources`, `kustomizations` and `releases` choose by file names (flux-source-, flux-ks-, flux-hr-), else by kinds.
    """
    from fluxtrail.gitops.apply.reading import read_declared

    if flags["prune"] and flags["field_manager"] == FIELD_MANAGER:
        raise click.UsageError(
            "--prune deletes whatever else was applied under the same name: give each declaration a --field-manager "
            "of its own, at every apply"
        )
    declared = read_declared(paths, choices)
    for skipped in declared.malformed:
        say(f"{skipped.source} {skipped.reason}")
    place = Place(kubeconfig, context)
    is_whole = run(_apply(place.open(), declared, choices, namespace, flags))
    if not is_whole or declared.malformed:
        raise click.exceptions.Exit(FAILED)


async def _apply(
    connection: Connection, declared: Declared, choices: Sequence[str], namespace: str | None, flags: dict[str, Any]
) -> bool:
    """Return whether everything was done, or could be."""
    from fluxtrail.clusters.writing import Writer
    from fluxtrail.gitops.apply.ordering import circle_of
    from fluxtrail.gitops.apply.planning import plan

    async with connection:
        writer = Writer(connection, field_manager=flags["field_manager"])
        place = namespace or connection.namespace or "default"
        circle = circle_of(declared.chosen)
        if circle:
            say(f"dependsOn goes in a circle, none of these will ever be ready: {' → '.join(circle)}")
        steps = await plan(writer, declared.chosen, namespace=place, force=flags["force_conflicts"])
        steps += await _pruned(connection, writer, declared, choices, place) if flags["prune"] else []
        _tell_plan(steps, flags)
        if flags["dry_run"] or not steps or not is_wanted(steps, is_sure=flags["yes"]):
            return not any(step.is_blocked for step in steps)
        return await carry_out_steps(writer, steps, force=flags["force_conflicts"], form=flags["output"])


async def _pruned(
    connection: Connection, writer: Any, declared: Declared, choices: Sequence[str], namespace: str
) -> list[Step]:
    from fluxtrail.gitops.apply.pruning import dropped
    from fluxtrail.model.errors import ConfigError
    from fluxtrail.model.observation import ObjectKey

    if declared.malformed:
        message = "is not done while a file cannot be read: what it holds would be deleted; correct it first"
        raise ConfigError(message, subject="--prune")
    if not declared.chosen:
        message = "is not done for files that hold nothing of the kind: everything would be deleted"
        raise ConfigError(message, subject="--prune")
    kept = {ObjectKey(m.group, m.kind, m.namespace or namespace, m.name) for m in declared.everything}
    return await dropped(connection, writer, kept, choices)


async def carry_out_steps(writer: Any, steps: list[Step], *, force: bool, form: str) -> bool:
    """Do it and say so; return whether all of it was done."""
    from fluxtrail.gitops.apply.applying import Result, carry_out

    outcomes: list[Outcome] = []
    async for outcome in carry_out(writer, steps, force=force):
        outcomes.append(outcome)
        if form == "table":
            _line(outcome.result, outcome.step, outcome.problem)
    if form != "table":
        _print([_row(outcome.step, outcome.result, outcome.problem) for outcome in outcomes], form)
    failed = sum(outcome.result is Result.FAILED for outcome in outcomes)
    if failed:
        say(f"{failed} of {len(outcomes)} objects could not be applied")
    return not failed


def _tell_plan(steps: Sequence[Step], flags: dict[str, Any]) -> None:
    if not steps:
        say("There is nothing to apply: the files hold no object that is meant.")
    if flags["output"] == "table":
        show_plan(steps, is_shown=is_plan_shown(steps, flags), has_diff=not flags["no_diff"])
    elif flags["dry_run"]:
        _print([_row(step, step.action, step.problem, diff=step.diff) for step in steps], flags["output"])


def is_plan_shown(steps: Sequence[Step], flags: dict[str, Any]) -> bool:
    """Whether somebody is to see it before it is done: not where nobody is asked, for then it is told as it is done."""
    return bool(flags["dry_run"]) or (not flags["yes"] and any(step.is_change or step.is_blocked for step in steps))


def show_plan(steps: Sequence[Step], *, is_shown: bool, has_diff: bool) -> None:
    """Show the changes as diffs, and then a line for each object."""
    if is_shown and has_diff:
        _show_diffs(steps)
    for step in steps if is_shown else ():
        _line(step.action, step, step.problem)


def _show_diffs(steps: Sequence[Step]) -> None:
    from fluxtrail.cli.terminal import terminal

    out = terminal()
    styles = {"+": "deployed", "-": "failed", "@": "sha"}
    for step in steps:
        for number, line in enumerate(step.diff.splitlines()):
            text = line[:1] + _indented(line[1:])
            out.echo(out.style(text, "strong" if number < 2 else styles.get(line[:1])))
        if step.diff:
            out.echo()


def _indented(line: str) -> str:
    from fluxtrail.cli.words import printable

    text = line.lstrip(" ")
    return " " * (len(line) - len(text)) + printable(text)


def is_wanted(steps: Sequence[Step], *, is_sure: bool) -> bool:
    """Ask, unless it is clear. Nobody is asked where nothing changes: then it is only made ours."""
    import sys

    changes = [step for step in steps if step.is_change]
    if is_sure or not changes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to ask; give --yes to apply, or --dry-run to look")
    deleted = sum(step.action.value == "delete" for step in changes)
    note = f", {deleted} of them deletions" if deleted else ""
    return click.confirm(f"Apply {len(changes)} changes{note}?", err=True)


def _line(word: Any, step: Step, problem: str) -> None:
    from fluxtrail.cli.terminal import terminal
    from fluxtrail.cli.words import printable

    out = terminal()
    what = out.style(str(word), _STYLES.get(str(word))) + " " * (_WORD_WIDTH - len(str(word)))
    where = out.style(f"  {printable(step.place)}", "dim") if problem and step.place else ""
    out.echo(f"{what} {printable(str(step.key))}{where}")
    indent = " " * (_WORD_WIDTH + 1)
    room = max(out.width - len(indent), 40) if out.is_cut else 10_000
    for line in textwrap.wrap(printable(problem), room, break_long_words=False, break_on_hyphens=False):
        out.echo(indent + line)


def _row(step: Step, word: Any, problem: str, **more: str) -> dict[str, str]:
    key = step.key
    row = {"apiVersion": step.api_version, "kind": key.kind, "namespace": key.namespace, "name": key.name}
    row |= {"action": str(word), "file": step.place, "problem": problem} | more
    return {name: value for name, value in row.items() if value}


def _print(rows: Sequence[dict[str, str]], form: str) -> None:
    from fluxtrail.cli.output import print_data

    if form == "name":
        for row in rows:
            click.echo(f"{row['kind'].lower()}/{row['name']}")
    else:
        print_data({"items": list(rows)}, form)
