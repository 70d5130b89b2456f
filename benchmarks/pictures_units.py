"""Numbers as Grafana writes them, and the steps of an axis."""

from __future__ import annotations

import math

_SPANS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001), ("µs", 0.000001))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_AFTER = {"ops": " ops/s", "opm": " ops/m", "reqps": " req/s"}
_LARGE = (("M", 1e6), ("K", 1e3))


def written(value: float, unit: str) -> str:
    """Return a value with its unit, in three digits or so."""
    if math.isnan(value) or math.isinf(value):
        return "-"
    if unit == "s":
        return _duration(value)
    if unit == "bytes":
        return _size(value)
    if unit == "percentunit":
        return f"{_short(100 * value)}%"
    if abs(value) >= 10_000:
        name, size = next((name, size) for name, size in _LARGE if abs(value) >= size)
        return f"{_short(value / size)}{name}{_AFTER.get(unit, '')}"
    return f"{_short(value)}{_AFTER.get(unit, '')}"


def _duration(value: float) -> str:
    if value == 0:
        return "0 s"
    name, size = next((item for item in _SPANS if abs(value) >= item[1]), _SPANS[-1])
    return f"{_short(value / size)} {name}"


def _size(value: float) -> str:
    power = min(int(math.log(abs(value), 1024)), len(_SIZES) - 1) if abs(value) >= 1 else 0
    return f"{_short(value / 1024**power)} {_SIZES[power]}"


def _short(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def axis(highest: float, unit: str, *, most: int = 4) -> list[float]:
    """Return round numbers from 0 to at least `highest`."""
    if highest <= 0 or math.isnan(highest):
        highest = 1.0
    size = 1.0
    if unit == "bytes":
        size = 1024.0 ** min(max(int(math.log(highest, 1024)), 0), 4)
    elif unit == "s":
        size = next((each for _, each in _SPANS[:3] if highest >= 2 * each), 1.0)
    step = size * _nice(highest / size / most)
    if unit == "short" and highest >= most:
        step = max(step, 1.0)
    count = math.ceil(highest / step - 1e-9)
    return [index * step for index in range(count + 1)]


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(each for each in (1, 2, 2.5, 5, 10) if each * power >= step * 0.999) * power
