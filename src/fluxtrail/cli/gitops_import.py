"""`fluxtrail gitops import`: what lies in a folder already, as a declaration."""

from __future__ import annotations

import os
from pathlib import Path

import click

HEAD = "# Flux's objects. Write their files from this one: fluxtrail gitops generate\n"


@click.command("import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the declaration there, if nothing is there; else to stdout.",
)
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    default="flux-system",
    show_default=True,
    help="The namespace of objects whose files name none.",
)
@click.option("-q", "--quiet", is_flag=True, help="No notes on stderr.")
def import_(*, folder: Path, output: Path | None, namespace: str, quiet: bool) -> None:
    """Read the Flux objects in FOLDER into a declaration from which the same objects are generated.

    Comments in the files are lost, but for a licence at the top of all of them. What is no source, Kustomization or
    HelmRelease of Flux is left as it is. Then: fluxtrail gitops generate --adopt
    """
    from fluxtrail.gitops.generate.importing import import_folder

    if output is not None and output.exists():
        raise click.UsageError(f"{output} exists; name another file, or remove it")
    beside = output.parent if output is not None else Path()
    place = Path(os.path.relpath(folder, beside)).as_posix()
    found = import_folder(folder, output=place, namespace=namespace)
    if output is None:
        click.echo(HEAD + found.text, nl=False)
    else:
        output.write_text(HEAD + found.text, encoding="utf-8", newline="\n")
    if not quiet:
        for note in found.notes:
            click.echo(note, err=True)
        click.echo(f"{found.count} objects", err=True)
