"""How long something took, as people read it."""

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def duration(seconds: float) -> str:
    """`14s`, `2m13s`, `30m`, `3h05m`, `4d`: two units at most, as kubectl prints ages."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 and whole else ""
    for size, unit, smaller_size, smaller_unit in _UNITS:
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{sign}{whole // size}{unit}" + (f"{rest:02}{smaller_unit}" if rest else "")
    return f"{sign}{whole}s"
