"""Every benchmark in turn, each in a process of its own: `python -m benchmarks`. Figures, never a verdict.

Kills and damaged documents are few here; `make bench-kill` and `make bench-fuzz` make the full count.
"""

from __future__ import annotations

import subprocess
import sys

KILLS = 5
ALL = (
    ("cli",),
    ("watch",),
    ("pods",),
    ("lag",),
    ("attribution",),
    ("fanout",),
    ("memory",),
    ("ledger",),
    ("feed",),
    ("exposition",),
    ("resources", "--objects", "1000", "10000"),
    ("telemetry", "--kills", str(KILLS), "--changes", "22", "--outage", "120", "--time-scale", "4"),
    ("fuzz", "--cases", "50000"),
    ("hooks",),
    ("fuzz_web", "--cases", "1000"),
    ("kill", "--kills", str(KILLS), "--changes", "22", "--time-scale", "4"),
    ("records",),
    ("records_kill", "--kills", str(KILLS)),
    ("records_outage", "--outage", "600"),
    ("pages", "--deliveries", "100000", "--times", "20", "--cold", "5"),
    ("standings",),
    ("statuses", "--clusters", "20", "--hours", "0.5", "--time-scale", "12", "--spread", "60"),
    ("statuses_five",),
    ("statuses_kill", "--kills", str(KILLS), "--changes", "20"),
    ("rollouts",),
    ("rollouts", "--kills", "2"),
)


def main() -> int:
    failed = []
    for name, *arguments in ALL:
        print(f"\n== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"\nbroke off: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
