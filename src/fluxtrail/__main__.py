"""`python -m fluxtrail` is the `fluxtrail` command."""

from __future__ import annotations

from fluxtrail.cli.main import main

if __name__ == "__main__":
    main()
