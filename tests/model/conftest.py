from __future__ import annotations

from hypothesis import settings

# Examples are not timed: the machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
