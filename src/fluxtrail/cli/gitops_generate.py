"""`fluxtrail gitops generate`: Flux's objects from one declaration, and whether they are still what it says.

It reads and writes files. Nothing is asked of a cluster, and nothing applied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fluxtrail.model.errors import ConfigError

if TYPE_CHECKING:
    from fluxtrail.gitops.declaration.declaration import Declaration
    from fluxtrail.gitops.generate.disk import Difference

DEFAULT_DECLARATION = "gitops.yaml"

_DECLARATION = click.argument(
    "declaration", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT_DECLARATION
)
_ENVIRONMENTS = click.option(
    "-e", "--environment", "environments", metavar="NAME", multiple=True, help="Only this one; repeatable."
)
_CRDS = click.option(
    "--crds",
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="Check the objects against the CRDs in this file or folder.",
)


@click.command()
@_DECLARATION
@click.option("--check", is_flag=True, help="Write nothing; print what differs, and fail if anything does.")
@click.option("--dry-run", is_flag=True, help="Write nothing; only list what would be written.")
@click.option("--stdout", "is_printed", is_flag=True, help="Print the objects; look at no file.")
@_ENVIRONMENTS
@_CRDS
@click.option("--adopt", is_flag=True, help="Overwrite files that lie in the way and were not generated from it.")
@click.pass_context
def generate(
    ctx: click.Context,
    *,
    declaration: Path,
    check: bool,
    dry_run: bool,
    is_printed: bool,
    environments: tuple[str, ...],
    crds: Path | None,
    adopt: bool,
) -> None:
    """Write Flux's objects as DECLARATION says (gitops.yaml if not given), and remove those it no longer has.

    The files are what `flux create … --export` prints, the same bytes on every machine.

    Exit codes: 0 done, or with --check nothing differs; 1 something differs, or was refused; 2 usage.
    """
    if check + dry_run + is_printed > 1:
        raise click.UsageError("--check, --dry-run and --stdout exclude each other")
    from fluxtrail.gitops.declaration.reading import read_declaration
    from fluxtrail.gitops.generate.disk import write
    from fluxtrail.gitops.generate.files import generate as files_of
    from fluxtrail.gitops.generate.files import plan

    read = read_declaration(declaration)
    _are_known(read, environments)
    planned = plan(read)
    chosen = [each for each in planned if not environments or each.environment in environments]
    _follow_schemas([(each.subject, each.data) for each in chosen], crds)
    files = files_of(read, chosen)
    if is_printed:
        for content in files.values():
            click.echo(content, nl=False)
        return
    found = _found(read, files, environments, kept={each.path for each in planned})
    if check:
        ctx.exit(_show_check(found, files))
    if not adopt:
        _refuse_foreign(found)
    if not dry_run:
        write(found, folder=declaration.parent)
    _show(found, files, is_dry=dry_run)


@click.command()
@_DECLARATION
@_ENVIRONMENTS
@_CRDS
@click.pass_context
def check(ctx: click.Context, *, declaration: Path, environments: tuple[str, ...], crds: Path | None) -> None:
    """Print how files differ from what DECLARATION says, and fail if any does: `generate --check`, for CI.

    Exit codes: 0 nothing differs; 1 something does, or was refused; 2 usage.
    """
    ctx.invoke(generate, declaration=declaration, environments=environments, crds=crds, check=True)


def _are_known(read: Declaration, environments: Sequence[str]) -> None:
    known = [each.name for each in read.environments if each.name]
    for name in environments:
        if name not in known:
            said = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"{name!r} is no environment of the declaration; {said}", subject="--environment")


def _follow_schemas(objects: Sequence[tuple[str, Mapping[str, object]]], crds: Path | None) -> None:
    if crds is None:
        return
    from fluxtrail.gitops.generate.crds import Schemas, check

    problems = check(objects, Schemas(crds))
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise click.ClickException(f"{len(problems)} fields are not as the CRDs in {crds} say; nothing was written")


def _found(
    read: Declaration, files: Mapping[str, bytes], environments: Sequence[str], *, kept: set[str]
) -> list[Difference]:
    from fluxtrail.gitops.generate.disk import differences
    from fluxtrail.gitops.generate.head import mark_of

    scanned = [each.output for each in read.environments if not environments or each.name in environments]
    if not environments:
        # Environments that are gone had their folders there.
        scanned.insert(0, read.output)
    return differences(files, folder=read.path.parent, mark=mark_of(read), scanned=scanned, kept=kept)


def _show_check(found: Sequence[Difference], files: Mapping[str, bytes]) -> int:
    for each in found:
        click.echo(each.diff(), nl=False)
    if not found:
        click.echo(f"{len(files)} files are as declared", err=True)
        return 0
    counted = Counter(each.state.value for each in found)
    said = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
    click.echo(f"{len(found)} files are not as declared ({said}); run fluxtrail gitops generate", err=True)
    return 1


def _refuse_foreign(found: Sequence[Difference]) -> None:
    foreign = [each.path for each in found if each.state == "foreign"]
    if foreign:
        shown = ", ".join(foreign[:5]) + (f" and {len(foreign) - 5} more" if len(foreign) > 5 else "")
        raise click.ClickException(
            f"not generated from this declaration, and in the way: {shown}; move them, or overwrite them with --adopt"
        )


def _show(found: Sequence[Difference], files: Mapping[str, bytes], *, is_dry: bool) -> None:
    words = {"missing": "created", "changed": "updated", "foreign": "adopted", "orphaned": "removed"}
    for each in found:
        click.echo(f"{each.path} {words[each.state.value]}{' (dry run)' if is_dry else ''}")
    click.echo(f"{len(files)} files, {len(found)} changed", err=True)
