"""`fluxtrail demo`: a simulated world and the real `fluxtrail run` on it, as two processes, with a live picture."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fluxtrail.simulator.observer import Observer
    from fluxtrail.simulator.processes import RunProcess, SimulatorProcess

HEADLESS_CHANGES = 50
HEADLESS_TIME_SCALE = 4.0
"""Nobody watches: an hour of the world passes in a quarter of one."""
DOCTOR_SECONDS = 40.0
"""For so long a release that is stuck waits for the doctor, who comes by every ten: then somebody resets it."""
LIVE_CHANGES = 1000
"""As good as endless: half an hour of commits."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    port: int
    metrics_address: str
    health_address: str
    hooks_address: str
    seed: int
    time_scale: float
    changes: int
    hold_seconds: float
    is_headless: bool
    has_records: bool
    directory: Path


@click.command("demo", short_help="Watch commits travel through a simulated world.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Of the API; 0: any.")
@click.option("--metrics-addr", default="127.0.0.1:8888", show_default=True, help="host:port of /metrics.")
@click.option("--health-addr", default="127.0.0.1:9440", show_default=True, help="host:port of /readyz.")
@click.option(
    "--hooks-addr", default="127.0.0.1:9292", show_default=True, help="host:port of /hooks/github and /gitopsphase."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides what happens.")
@click.option("--time-scale", type=click.FloatRange(0.1, 1000), help="Speed of time. [default: 4 headless, else 1]")
@click.option("--changes", type=click.IntRange(1, 100_000), help="Commits to push. [default: 50 headless, else 1000]")
@click.option("--hold", type=click.FloatRange(0, 600), default=6.0, hidden=True, help="Seconds a state stays.")
@click.option("--headless", is_flag=True, help="No picture: run until all is settled, print the result, end.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="With --headless: the form of the result.")
@click.option("--deployment-records", is_flag=True, help="Run more pods, and tell a simulated GitHub of them.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep the world and the ledger here.")
def demo(
    *,
    port: int,
    metrics_addr: str,
    health_addr: str,
    hooks_addr: str,
    seed: int,
    time_scale: float | None,
    changes: int | None,
    hold: float,
    headless: bool,
    output: str | None,
    deployment_records: bool,
    keep: Path | None,
) -> None:
    """Watch commits travel through a simulated world.

    Three clusters with Flux, a source repository, an exporter and a manifests repository are simulated; what
    follows the commits is the real `fluxtrail run`. Things go wrong on the way: see docs/demo.md.
    """
    if output and not headless:
        raise click.UsageError("-o needs --headless")
    with tempfile.TemporaryDirectory(prefix="fluxtrail-demo-") as temporary:
        options = Options(
            port=port,
            metrics_address=metrics_addr,
            health_address=health_addr,
            hooks_address=hooks_addr,
            seed=seed,
            time_scale=time_scale or (HEADLESS_TIME_SCALE if headless else 1.0),
            changes=changes or (HEADLESS_CHANGES if headless else LIVE_CHANGES),
            hold_seconds=hold,
            is_headless=headless,
            has_records=deployment_records,
            directory=(keep or Path(temporary)).resolve(),
        )
        sys.exit(_run(options))


def _bring_scripts() -> None:
    """The first demo of a checkout has none for its pages yet; a wheel has them."""
    from fluxtrail.model.errors import FluxtrailError
    from fluxtrail.web.pages.vendoring import bring_all

    try:
        bring_all()
    except (FluxtrailError, OSError) as error:
        click.echo(f"fluxtrail demo: the pages go without scripts: {error}", err=True)


def _run(options: Options) -> int:
    from fluxtrail.model.errors import FluxtrailError

    _bring_scripts()
    try:
        return asyncio.run(_demo(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    except (FluxtrailError, BaseExceptionGroup) as error:
        first = _first(error)
        if not isinstance(first, FluxtrailError):
            raise
        click.echo(f"fluxtrail demo: {first}", err=True)
        return 1


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _demo(options: Options) -> int:
    from fluxtrail.simulator.observer import Observer

    task = asyncio.current_task()
    assert task is not None
    # Both children are ended in order then, as with Ctrl-C.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    click.echo("Building a world: three clusters, two repositories, a pipeline …", err=True)
    async with _both(options) as (simulator, run):
        observer = Observer(run)
        click.echo(f"The pages are at {run.api}/ while this runs.", err=True)
        await simulator.begin()
        if options.is_headless:
            code = await _headless(simulator, observer, has_records=options.has_records)
        else:
            from fluxtrail.cli.demo_live import show

            await show(simulator, run, observer, seed=options.seed)
            code = 0
    click.echo(f"The pages were at {run.api}/; they are there again with the next demo.", err=True)
    return code


@asynccontextmanager
async def _both(options: Options) -> AsyncIterator[tuple[SimulatorProcess, RunProcess]]:
    """Start the world, then what watches it; end them the other way round."""
    from fluxtrail.simulator.processes import Listeners, RunProcess, SimulatorProcess, write_settings

    options.directory.mkdir(parents=True, exist_ok=True)
    listeners = Listeners(
        f"127.0.0.1:{options.port}", options.metrics_address, options.health_address, options.hooks_address
    ).with_ports()
    arguments = [
        f"--directory={options.directory / 'world'}",
        f"--seed={options.seed}",
        f"--changes={options.changes}",
        f"--time-scale={options.time_scale}",
        f"--hold={options.hold_seconds}",
        "--ci",
        f"--doctor={DOCTOR_SECONDS}",
        *(("--deployment-records",) if options.has_records else ()),
    ]
    async with SimulatorProcess(*arguments) as simulator:
        settings = options.directory / "fluxtrail.yaml"
        write_settings(settings, simulator.description, listeners=listeners, has_routes=True, has_doctor=True)
        run = RunProcess(settings, simulator.clock, listeners, log=options.directory / "run.log")
        try:
            await run.start()
            await run.until_ready()
            await simulator.hook(run)
            yield simulator, run
        finally:
            await run.stop()


async def _headless(simulator: SimulatorProcess, observer: Observer, *, has_records: bool) -> int:
    from fluxtrail.cli.demo_picture import Event
    from fluxtrail.simulator.observer import as_answer
    from fluxtrail.simulator.recording import until_told
    from fluxtrail.simulator.telling import said_so_far, until_said
    from fluxtrail.simulator.telling_builds import until_built

    last, treated = "", 0

    def say(line: str) -> None:
        nonlocal last
        if line != last:
            click.echo(line, err=True)
            last = line

    def report(status: dict[str, Any], settled: int) -> None:
        nonlocal treated
        for treatment in status["treatments"]:
            if treatment["number"] > treated:
                treated = treatment["number"]
                say(Event.treatment(treatment).text)
        say(f"{status['changes_done']} of {status['changes']} changes pushed, {settled} settled on every cluster")

    trails = await observer.until_settled(simulator, progress=report)
    await until_built(simulator, observer, progress=lambda open_ones: say(f"{open_ones} builds are still to be told"))
    known = await observer.trails([trail["commit"]["sha"] for trail in trails])
    trails = [known.get(trail["commit"]["sha"], trail) for trail in trails]
    await until_said(simulator, progress=lambda open_ones: say(f"{open_ones} statuses of commits are still to be told"))
    answer = as_answer(trails) | await said_so_far(simulator, trails)
    answer |= {"not_running": await observer.not_running(), "images": await observer.images()}
    answer |= {"treatments": (await simulator.status())["treatments"]}
    if has_records:
        answer["records"] = await until_told(
            simulator,
            progress=lambda right, total: say(f"GitHub holds {right} of {total} deployment names as they are"),
        )
    click.echo(json.dumps(answer, indent=2))
    return 0
