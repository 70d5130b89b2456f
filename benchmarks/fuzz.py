"""Damaged documents through every parser: no crash, no error but the declared ones, no allocation without a bound.

    python -m benchmarks.fuzz --cases 1000000 --seed 1
    python -m benchmarks.fuzz --seed 1 --only oci-manifest --case 12345     # the same case again, shown

Case `n` is for parser `n` modulo their number, and follows from the seed, the parser and `n` alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
import traceback
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.fuzz_parsers import Parser, all_parsers
from benchmarks.measuring import Stopwatch, log_warnings_only, peak_rss_mib, report, rss_mib
from benchmarks.mutations import mutate, seed_of

PEAK_MULTIPLE = 64
HELD_MULTIPLE = 64
FLOOR_BYTES = 256 * 1024
"""What any document may cost, however small."""
KEPT_FAILURES = 20
SLOW_SECONDS = 1.0
"""Of CPU, for one document of at most 256 KiB: beyond it, work grows faster than the document."""


@dataclass
class Tally:
    """What came of many cases."""

    cases: int = 0
    refused: int = 0
    """Cases that ended with a declared error."""
    bytes_in: int = 0
    slowest_seconds: float = 0.0
    slowest: str = ""
    peak_multiple: float = 0.0
    """Most memory at once, as a multiple of the document, where it is more than the floor."""
    peak_bytes: int = 0
    growth_mib: float = 0.0
    peak_rss_mib: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    """The first case of each kind of failure, by what it was."""
    failed: int = 0

    def add(self, other: Tally) -> None:
        self.cases += other.cases
        self.refused += other.refused
        self.failed += other.failed
        self.bytes_in += other.bytes_in
        if other.slowest_seconds > self.slowest_seconds:
            self.slowest_seconds, self.slowest = other.slowest_seconds, other.slowest
        self.peak_multiple = max(self.peak_multiple, other.peak_multiple)
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        self.growth_mib = max(self.growth_mib, other.growth_mib)
        self.peak_rss_mib = max(self.peak_rss_mib, other.peak_rss_mib)
        self.failures = {**other.failures, **self.failures}

    def fail(self, what: str, case: str) -> None:
        self.failed += 1
        if len(self.failures) < KEPT_FAILURES:
            self.failures.setdefault(what, case)


def document(parser: Parser, parsers: Sequence[Parser], *, seed: int, number: int) -> bytes:
    """Return the damaged document of a case."""
    dice = random.Random(f"{seed}/{parser.name}/{number}")
    others = parser.seeds if dice.random() < 0.7 else dice.choice(parsers).seeds
    return mutate(dice, dice.choice(parser.seeds), others)


def run_cases(
    *, seed: int, cases: int, first: int = 0, step: int = 1, only: str = "", case: int | None = None
) -> Tally:
    """Run every `step`th case from `first` on; of one parser, or one case, where `only` and `case` say so."""
    parsers = all_parsers()
    tally = Tally()
    _warm_up(parsers)
    before_mib = rss_mib()
    tracemalloc.start()
    try:
        for number in range(first, cases, step) if case is None else (case,):
            parser = parsers[number % len(parsers)]
            if only in ("", parser.name):
                _run(parser, document(parser, parsers, seed=seed, number=number), number, tally)
    finally:
        tracemalloc.stop()
    tally.growth_mib, tally.peak_rss_mib = rss_mib() - before_mib, peak_rss_mib()
    return tally


def _warm_up(parsers: Sequence[Parser]) -> None:
    """Fill what is kept once (patterns, decoders), so that no case is charged with it."""
    for parser in parsers:
        for good in (*parser.seeds, seed_of(b""), seed_of(b"x")):
            try:
                parser.parse(good.data)
            except parser.errors:
                continue


class _Cost(NamedTuple):
    """What reading one document took."""

    seconds: float
    """Of CPU."""
    held: int
    """Bytes still allocated while the result is there."""
    peak: int
    is_refused: bool
    crash: str

    def is_large(self, size: int) -> bool:
        return self.peak > FLOOR_BYTES + PEAK_MULTIPLE * size or self.held > FLOOR_BYTES + HELD_MULTIPLE * size


def _read(parser: Parser, data: bytes) -> _Cost:
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    began = time.thread_time()
    result: object = None
    is_refused, crash = False, ""
    try:
        result = parser.parse(data)
    except parser.errors:
        is_refused = True
    except Exception as exc:  # noqa: BLE001 that is what is looked for
        at = traceback.extract_tb(exc.__traceback__)[-1]
        crash = f"{type(exc).__name__} at {at.name}:{at.lineno}: {str(exc)[:120]}"
    seconds = time.thread_time() - began
    held, peak = (size - before for size in tracemalloc.get_traced_memory())
    del result
    return _Cost(seconds, held, peak, is_refused, crash)


def _run(parser: Parser, data: bytes, number: int, tally: Tally) -> None:
    where = f"--only {parser.name} --case {number}"
    cost = _read(parser, data)
    if cost.is_large(len(data)):
        # A table of the whole process (that of interned strings) may have grown on this occasion: not so twice.
        cost = _read(parser, data)
    tally.cases += 1
    tally.refused += cost.is_refused
    tally.bytes_in += len(data)
    tally.peak_bytes = max(tally.peak_bytes, cost.peak)
    if cost.seconds > tally.slowest_seconds:
        tally.slowest_seconds, tally.slowest = cost.seconds, f"{where} ({len(data)} bytes)"
    if cost.peak > FLOOR_BYTES:
        tally.peak_multiple = max(tally.peak_multiple, cost.peak / len(data))
    if cost.crash:
        tally.fail(f"{parser.name}: {cost.crash}", where)
    if cost.peak > FLOOR_BYTES + PEAK_MULTIPLE * len(data):
        tally.fail(f"{parser.name}: a peak of more than {PEAK_MULTIPLE} times its input", where)
    if cost.held > FLOOR_BYTES + HELD_MULTIPLE * len(data):
        tally.fail(f"{parser.name}: holds more than {HELD_MULTIPLE} times its input", where)
    if cost.seconds > SLOW_SECONDS:
        tally.fail(f"{parser.name}: took more than {SLOW_SECONDS:g} CPU s", where)


def run_in_workers(*, seed: int, cases: int, workers: int) -> Tally:
    context = multiprocessing.get_context("spawn")
    total = Tally()
    with context.Pool(workers) as pool:
        parts = [
            pool.apply_async(run_cases, kwds={"seed": seed, "cases": cases, "first": first, "step": workers})
            for first in range(workers)
        ]
        for part in parts:
            total.add(part.get())
    return total


def show(seed: int, only: str, number: int) -> int:
    """Run one case again; print its document and what comes of it."""
    parsers = all_parsers()
    parser = parsers[number % len(parsers)]
    if parser.name != only:
        print(f"case {number} is for {parser.name}", file=sys.stderr)
        return 2
    data = document(parser, parsers, seed=seed, number=number)
    print(f"{len(data)} bytes: {data[:4000]!r}{'…' if len(data) > 4000 else ''}")
    try:
        print(f"{parser.parse(data)!r:.4000}")
    except parser.errors as exc:
        print(f"refused: {type(exc).__name__}: {exc}")
    except Exception:  # noqa: BLE001
        traceback.print_exc()
    tally = run_cases(seed=seed, cases=0, only=only, case=number)
    print(
        f"peak {tally.peak_bytes:,} bytes, {tally.slowest_seconds:.4f} s, {'; '.join(tally.failures) or 'no failure'}"
    )
    return 1 if tally.failed else 0


def main() -> int:
    options = _options()
    log_warnings_only()
    if options.case is not None:
        return show(options.seed, options.only, options.case)
    watch = Stopwatch()
    if options.workers > 1 and not options.only:
        tally = run_in_workers(seed=options.seed, cases=options.cases, workers=options.workers)
    else:
        tally = run_cases(seed=options.seed, cases=options.cases, only=options.only)
    report(
        "fuzz",
        f"{tally.cases:,} damaged documents through {len(all_parsers())} parsers, seed {options.seed}",
        bar="no failure",
        failures=tally.failed,
        refused=tally.refused,
        mib_in=tally.bytes_in / 2**20,
        seconds=watch.seconds,
        peak_mib=tally.peak_bytes / 2**20,
        peak_multiple=tally.peak_multiple,
        slowest_ms=1000 * tally.slowest_seconds,
        rss_growth_mib=tally.growth_mib,
        peak_rss_mib=tally.peak_rss_mib,
    )
    print(f"# slowest: --seed {options.seed} {tally.slowest}")
    for what, case in tally.failures.items():
        print(f"{what}\n    again: --seed {options.seed} {case}", file=sys.stderr)
    return 1 if tally.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", choices=["", *(item.name for item in all_parsers())], metavar="PARSER")
    parser.add_argument("--case", type=int, help="run this one alone, and show it; with --only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
