"""`fluxtrail ci`: a pipeline states what it does, so that commits have a `built` and an `exported` before Flux."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
import msgspec

from fluxtrail.cli.ci_environment import Facts, Surroundings, read_environment
from fluxtrail.cli.client import client_of
from fluxtrail.cli.output import output_option
from fluxtrail.cli.wait import Duration
from fluxtrail.model.ci import CiRole, CiState, CiSystem
from fluxtrail.model.errors import ConfigError
from fluxtrail.web.statements import RUNS_IN_ONE, CiStatement, RunReference, read_repository, read_statement

F = TypeVar("F", bound=Callable[..., Any])
STATES = {
    "started": CiState.RUNNING,
    "queued": CiState.QUEUED,
    "waiting": CiState.WAITING,
    "running": CiState.RUNNING,
    "succeeded": CiState.SUCCEEDED,
    "failed": CiState.FAILED,
    "cancelled": CiState.CANCELLED,
    "canceled": CiState.CANCELLED,
    "skipped": CiState.SKIPPED,
}
_OF_THE_RUN = ("number", "url", "attempt", "system", "project")
"""What a CI system says of the run that runs us, and of no other."""
_OF_THE_COMMIT = ("repository", "sha", "branch", "pull_request")
"""What it says of the commit that it runs for, which may be another than the one that is spoken of."""
_NOWHERE = "0" * 40


@click.group()
def ci() -> None:
    """State that a pipeline builds or exports a commit.

    What is not given is read from the variables of GitHub Actions, GitLab CI, Azure Pipelines, Jenkins, CircleCI or
    Buildkite.
    """


def about_a_run(function: F) -> F:
    """Which run, of which commit, and how it stands."""
    options = (
        click.option("--repository", metavar="URL", help="Of the source commit: its URL, or host/owner/name."),
        click.option(
            "--sha", "shas", metavar="SHA", multiple=True, help="Of the source commit; an export may have more."
        ),
        click.option("--state", type=click.Choice(list(STATES)), required=True, help="How the run stands."),
        click.option("--run-id", metavar="ID", help="As the CI system numbers it."),
        click.option("--attempt", type=click.IntRange(1, 100_000), help="Of the same run."),
        click.option("--pipeline", metavar="NAME", help="Its name."),
        click.option("--number", metavar="TEXT", help="As people read it: #812."),
        click.option("--url", metavar="URL", help="The run's page."),
        click.option("--branch", metavar="NAME", help="That it runs for."),
        click.option("--pull-request", type=click.IntRange(1, 2**31 - 1), metavar="N", help="That it runs for."),
        click.option("--image", metavar="IMAGE", help="What it makes: registry/name:tag."),
        click.option("--digest", metavar="DIGEST", help="Of the image: sha256:…"),
        click.option("--service", metavar="NAME", help="Which of a repository's several it is of."),
        click.option("--environment", metavar="NAME", help="That it is made for."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def about_sending(function: F) -> F:
    options = (
        click.option(
            "--timeout", type=Duration(), default="1m", show_default=True, help="For how long it is tried again."
        ),
        click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing."),
        output_option,
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
        click.pass_context,
    )
    for option in reversed(options):
        function = option(function)
    return function


@ci.command()
@about_a_run
@about_sending
def build(ctx: click.Context, /, *, timeout: timedelta, dry_run: bool, output: str, quiet: bool, **given: Any) -> None:
    """State a run that builds what is delivered.

    Exit codes: 0 it is known, or was; 1 it was refused; 2 usage; 3 not within --timeout.
    """
    if len(given["shas"]) > 1:
        raise click.UsageError("--sha is given more than once: a run builds one commit; `ci export` takes several")
    _finish(ctx, _statements(CiRole.BUILD, given), timeout=timeout, dry_run=dry_run, form=output, is_quiet=quiet)


@ci.command()
@about_a_run
@click.option("--carrier-repository", metavar="URL", help="The manifests repository.")
@click.option("--carrier-sha", metavar="SHA", help="The commit that it made there.")
@click.option("--allow-unfollowed", is_flag=True, help="Its repository need not be followed (yet).")
@click.option("--of-image", metavar="IMAGE", help="The commit is that which this image, or tag, was built from.")
@click.option("--of-run", metavar="ID", help="The commit is that of this earlier run.")
@click.option("--of-carrier", metavar="SHA", help="The commit is that which this carrier was exported from.")
@about_sending
def export(ctx: click.Context, /, *, timeout: timedelta, dry_run: bool, output: str, quiet: bool, **given: Any) -> None:
    """State a run that writes the manifests repository.

    A pipeline of the manifests repository does not know the source commit: it says what was stated of it before, by
    one of the --of options. A run that exports several source commits has a --sha for each.

    Exit codes: 0 it is known, or was; 1 it was refused; 2 usage; 3 not within --timeout.
    """
    _finish(ctx, _statements(CiRole.EXPORT, given), timeout=timeout, dry_run=dry_run, form=output, is_quiet=quiet)


@ci.command(context_settings={"ignore_unknown_options": True})
@click.argument("row", nargs=-1, metavar="[ACCOUNT KEY TABLE PARTITION] FILTER VALUE [NAME VALUE]...")
@click.option("--repository", metavar="URL", help="Of the source commit, where no sourceRepo says it.")
@click.option("--state", type=click.Choice(list(STATES)), default="succeeded", show_default=True, help="Of the run.")
@about_sending
def record(
    ctx: click.Context,
    /,
    *,
    row: Sequence[str],
    repository: str | None,
    state: str,
    timeout: timedelta,
    dry_run: bool,
    output: str,
    quiet: bool,
) -> None:
    """State a row of Spektate's table, by the arguments of its writer script.

    The four that name the table are not used, and may be left out.

    Exit codes: 0 it is known, or was; 1 it was refused; 2 usage; 3 not within --timeout.
    """
    from fluxtrail.cli.ci_rows import read_row, statements_of

    filtered, columns = read_row(row)
    facts = {"at": datetime.now(UTC), **read_environment(os.environ).facts}
    statements = statements_of(filtered, columns, facts=facts, state=STATES[state], repository=repository)
    _finish(ctx, statements, timeout=timeout, dry_run=dry_run, form=output, is_quiet=quiet)


def _statements(role: CiRole, given: dict[str, Any]) -> list[CiStatement]:
    """Return what is stated of each commit that is given, or of the one that the CI system tells."""
    shas = list(dict.fromkeys(given.pop("shas"))) or [None]
    if len(shas) > RUNS_IN_ONE:
        raise click.UsageError(f"--sha is given {len(shas)} times; at most {RUNS_IN_ONE} commits are stated at once")
    return [_statement(role, {**given, "sha": sha}) for sha in shas]


def _statement(role: CiRole, given: dict[str, Any]) -> CiStatement:
    """Return what is given, and what the CI system says of what is not.

    Raises:
        click.UsageError: the commit or the run is missing.
    """
    around = read_environment(os.environ)
    facts: Facts = {"at": datetime.now(UTC), **around.facts}
    if given["run_id"] and given["run_id"] != facts.get("run_id"):
        facts = {name: value for name, value in facts.items() if name not in _OF_THE_RUN}
    reference = _reference(given)
    if reference is not None or not _is_same(given["repository"] or "", facts.get("repository", "")):
        facts = {name: value for name, value in facts.items() if name not in _OF_THE_COMMIT}
    fields = set(CiStatement.__struct_fields__)
    said = facts | {name: value for name, value in given.items() if value is not None and name in fields}
    said |= {"role": role, "state": STATES[given["state"]], "of": reference}
    _check_complete(said, around)
    try:
        return msgspec.convert(said, CiStatement)
    except msgspec.ValidationError as exc:
        raise click.UsageError(_named(exc)) from exc


def _is_same(given: str, told: str) -> bool:
    """Whether two addresses are of one repository; what is not given is that which is told."""
    try:
        return not given or read_repository(given, "--repository") == read_repository(told, "--repository")
    except ConfigError:
        return False


def _reference(given: dict[str, Any]) -> RunReference | None:
    found: Facts = {field: given[name] for field, name in _REFERENCES.items() if given.get(name)}
    if not found:
        return None
    if given["sha"]:
        raise click.UsageError("--sha and the --of options exclude each other: both say which commit is meant")
    return RunReference(**found)


_REFERENCES = {"image": "of_image", "run_id": "of_run", "carrier_sha": "of_carrier"}


def _check_complete(said: Facts, around: Surroundings) -> None:
    where = f"{around.name} does not tell it here" if around.name else "no CI system is known by its variables here"
    needed = ("run_id",) if said["of"] is not None else ("repository", "sha", "run_id")
    missing = [f"--{name.replace('_', '-')}" for name in needed if not said.get(name)]
    if missing:
        raise click.UsageError(f"{' and '.join(missing)} must be given: {where}")
    if said.get("system") in (None, CiSystem.STATED):
        said.pop("project", None)


def _named(exc: msgspec.ValidationError) -> str:
    what, _, where = str(exc).partition(" - at `$.")
    name = where.rstrip("`").replace("_", "-")
    return f"--{name}: {what}" if name else what


def _finish(
    ctx: click.Context,
    statements: Sequence[CiStatement],
    *,
    timeout: timedelta,
    dry_run: bool,
    form: str,
    is_quiet: bool,
) -> None:
    """Send, or show, what is stated; what the server would refuse is refused here already."""
    from fluxtrail.cli.ci_sending import REQUEST_SECONDS, send_all, show

    now = datetime.now(UTC)
    for said in statements:
        sha = said.sha if said.of is None else _NOWHERE
        repository = said.repository or "example.com/unknown/yet" if said.of is not None else said.repository
        read_statement(msgspec.structs.replace(said, sha=sha, repository=repository), now=now)
    if dry_run:
        show(statements, form)
        return
    client = client_of(ctx, timeout_seconds=REQUEST_SECONDS)
    ctx.exit(send_all(client, statements, timeout_seconds=timeout.total_seconds(), form=form, is_quiet=is_quiet))
