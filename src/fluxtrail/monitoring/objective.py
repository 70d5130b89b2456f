"""The objective of deliveries, and the alerts that say how fast its error budget is used up.

A delivery is *slow* if it took longer than the threshold from merged to its stage. The objective is the share that
shall not be slow over the window. A burn rate of 1 uses up the budget exactly in the window; an alert looks at a
long span (is it worth it?) and a short one (is it still so?). The limits follow from the share of the budget that
the long span may cost, so that they fit every window: over 30 days they are 14.4, 6, 3 and 1.

Source: https://sre.google/workbook/alerting-on-slos/ (6: multiwindow, multi-burn-rate alerts)
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

import msgspec

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.figures import BUCKETS_SECONDS
from fluxtrail.monitoring.rules import Alert, Group, Record, span_text

METRICS = {"applied": "fluxtrail_lead_time_seconds", "running": "fluxtrail_lead_time_running_seconds"}
"""By stage: the histogram of the time from merged to it."""
WINDOWS_DAYS = (7, 90)
FEWEST_SLOW = 2
"""A single slow delivery alarms nobody, however few there are beside it."""


class Burn(NamedTuple):
    """Two spans, and the share of the budget that the long one may cost."""

    long: timedelta
    short: timedelta
    budget: float


FAST = (
    Burn(timedelta(hours=1), timedelta(minutes=5), 0.02),
    Burn(timedelta(hours=6), timedelta(minutes=30), 0.05),
)
SLOW = (
    Burn(timedelta(days=1), timedelta(hours=2), 0.1),
    Burn(timedelta(days=3), timedelta(hours=6), 0.1),
)


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """`share` of all deliveries reach `stage` within `threshold`, over `window`."""

    share: float
    threshold: timedelta
    window: timedelta
    stage: str

    def limit(self, burn: Burn) -> float:
        """Return the share of slow deliveries over the long span beyond which the burn is too fast; > 1 cannot be."""
        return burn.budget * (self.window / burn.long) * (1 - self.share)

    def reachable(self, burns: tuple[Burn, ...]) -> list[Burn]:
        return [burn for burn in burns if self.limit(burn) < 1]


def objective_of(
    *,
    share: float = 0.99,
    threshold: timedelta = timedelta(minutes=15),
    window: timedelta = timedelta(days=28),
    stage: str = "applied",
) -> Objective:
    """Return a checked objective.

    Raises:
        ConfigError: a threshold that is no bucket's bound, or an objective of which no alert could ever fire.
    """
    if not 0 < share < 1:
        raise ConfigError(f"{share:g} is no share; write a number between 0 and 1, such as 0.99", subject="--objective")
    if threshold.total_seconds() not in BUCKETS_SECONDS:
        bounds = ", ".join(span_text(timedelta(seconds=bound)) for bound in BUCKETS_SECONDS)
        raise ConfigError(f"{span_text(threshold)} is no bucket's bound; choose one of {bounds}", subject="--threshold")
    least, most = WINDOWS_DAYS
    if not timedelta(days=least) <= window <= timedelta(days=most) or window % timedelta(days=1):
        raise ConfigError(f"{span_text(window)} is no window; write {least}d to {most}d", subject="--window")
    if stage not in METRICS:
        raise ConfigError(f"{stage!r} has no lead time; choose from {', '.join(METRICS)}", subject="--stage")
    found = Objective(share=share, threshold=threshold, window=window, stage=stage)
    if not (found.reachable(FAST) and found.reachable(SLOW)):
        raise ConfigError(
            f"{share:g} over {span_text(window)} allows so much that no alert can fire; raise it or shorten the window",
            subject="--objective",
        )
    return found


def objective_rules(objective: Objective) -> Group:
    spans = sorted({span for burn in (*FAST, *SLOW) for span in (burn.long, burn.short)} | {objective.window})
    return Group(
        "fluxtrail-objective",
        (
            *(_ratio(objective, span) for span in spans),
            *(_slow_count(objective, burn.long) for burn in (*FAST, *SLOW)),
            *_budget(objective),
            _alert(objective, "LeadTimeBurnFast", FAST, "critical"),
            _alert(objective, "LeadTimeBurnSlow", SLOW, "warning"),
        ),
    )


def _ratio(objective: Objective, span: timedelta) -> Record:
    metric, good = METRICS[objective.stage], _within(objective)
    part = f"sum by (cluster) (increase({metric}_bucket{{{good}}}[{span_text(span)}]))"
    whole = f"sum by (cluster) (increase({metric}_count[{span_text(span)}]))"
    return Record(_ratio_name(span), f"1 - {part} / {whole}", {"stage": objective.stage})


def _slow_count(objective: Objective, span: timedelta) -> Record:
    metric, good = METRICS[objective.stage], _within(objective)
    part = f"sum by (cluster) (increase({metric}_bucket{{{good}}}[{span_text(span)}]))"
    whole = f"sum by (cluster) (increase({metric}_count[{span_text(span)}]))"
    return Record(_count_name(span), f"{whole} - {part}", {"stage": objective.stage})


def _within(objective: Objective) -> str:
    """Return the matcher of the bucket; `900` and `900.0` are the same bound, by who wrote it down."""
    return f'le=~"{objective.threshold.total_seconds():.0f}([.]0)?"'


def _budget(objective: Objective) -> Iterator[Record]:
    labels = {"stage": objective.stage}
    allowed = f"{1 - objective.share:.10g}"
    yield Record("fluxtrail:objective:ratio", f"vector({objective.share:.10g})", labels)
    ratio = f'{_ratio_name(objective.window)}{{stage="{objective.stage}"}}'
    yield Record("fluxtrail:budget_remaining:ratio", f"1 - {ratio} / {allowed}", labels)


def _alert(objective: Objective, name: str, burns: tuple[Burn, ...], severity: str) -> Alert:
    threshold, share = span_text(objective.threshold), f"{objective.share:.10%}".rstrip("0%").rstrip(".")
    return Alert(
        name=name,
        expr="\nor ".join(_condition(objective, burn) for burn in objective.reachable(burns)),
        lasts="2m" if severity == "critical" else "15m",
        severity=severity,
        summary=f"Deliveries to {{{{ $labels.cluster }}}} are slow: the error budget {_pace(name)}",
        description=f"{{{{ $value | humanizePercentage }}}} took longer than {threshold} from merged to"
        f" {objective.stage}; {share} % shall not, over {span_text(objective.window)}.",
    )


def _pace(name: str) -> str:
    return "will be gone within days" if name == "LeadTimeBurnFast" else "will not last for the window"


def _condition(objective: Objective, burn: Burn) -> str:
    limit = f"{objective.limit(burn):.6g}"
    return (
        f'({_ratio_name(burn.long)}{{stage="{objective.stage}"}} > {limit}'
        f' and {_ratio_name(burn.short)}{{stage="{objective.stage}"}} > {limit}'
        f' and {_count_name(burn.long)}{{stage="{objective.stage}"}} >= {FEWEST_SLOW - 0.5:g})'
    )


def _ratio_name(span: timedelta) -> str:
    return f"fluxtrail:deliveries_slow:ratio{span_text(span)}"


def _count_name(span: timedelta) -> str:
    return f"fluxtrail:deliveries_slow:increase{span_text(span)}"
