"""*Deliveries*: how long changes take to get where they shall be, what is on its way, and what does not run.

Intervals of an hour and more, as a target may well be delivered to twice a day.
"""

from __future__ import annotations

from fluxtrail.monitoring.documents import Json
from fluxtrail.monitoring.flux import RECONCILER_KINDS
from fluxtrail.monitoring.grafana import RED_ABOVE_ZERO, Query, Variable, dashboard, lines, stat, table

_IN = 'cluster=~"$cluster",namespace=~"$namespace",name=~"$target"'
_TARGET = {"cluster": "Cluster", "namespace": "Namespace", "kind": "Kind", "name": "Name"}
_BY_TARGET = ", ".join(_TARGET)
_APPLIED = "fluxtrail_lead_time_seconds"
_RUNNING = "fluxtrail_lead_time_running_seconds"
_OLDEST = f"fluxtrail_commits_oldest_age_seconds{{{_IN}}}"
_INFLIGHT = f"fluxtrail_commits_inflight{{{_IN}}}"
_NOT_RUNNING = f"fluxtrail_workloads_not_running{{{_IN}}}"
_AGES = ((None, "green"), (900, "orange"), (1800, "red"))
_FAILING = (
    'gotk_resource_info{cluster=~"$cluster",exported_namespace=~"$namespace",name=~"$target",'
    f'customresource_kind=~"{RECONCILER_KINDS}",ready="False"}}'
)
_LEGEND = "{{cluster}}/{{namespace}}/{{name}}"


def deliveries() -> Json:
    return dashboard(
        uid="fluxtrail-deliveries",
        title="Deliveries",
        help_text="Commits on their way: lead time by stage, what is in flight, what is late, what does not run.",
        tags=("flux", "fluxtrail"),
        variables=(
            Variable("cluster", "Cluster", "fluxtrail_commits_inflight", "cluster"),
            Variable("namespace", "Namespace", "fluxtrail_commits_inflight", "namespace"),
            Variable("target", "Target", "fluxtrail_commits_inflight", "name"),
        ),
        rows=(
            ("", _now()),
            ("Lead time", _lead_times()),
            ("On their way", _on_their_way()),
            ("By repository", _by_source()),
            ("Targets", _tables()),
        ),
        span="now-24h",
    )


def _now() -> tuple[tuple[int, int, Json], ...]:
    half, most = (_quantile(share, _APPLIED, "$__range") for share in (0.5, 0.95))
    return (
        (4, 4, stat("Lead time, half", half, unit="s", no_value="-", help_text="Merged to applied, over the span.")),
        (4, 4, stat("Lead time, 95 %", most, unit="s", no_value="-", help_text="Merged to applied, over the span.")),
        (
            4,
            4,
            stat("Applied", f"round(sum(increase({_APPLIED}_count{{{_IN}}}[$__range])))", help_text="Over the span."),
        ),
        (4, 4, stat("In flight", f"sum({_INFLIGHT})", help_text="Commits pending on a target, one for each.")),
        (4, 4, stat("Oldest", f"max({_OLDEST})", unit="s", steps=_AGES, help_text="Suspended targets do not count.")),
        (
            4,
            4,
            stat(
                "Applied, not running",
                f'sum({_NOT_RUNNING[:-1]},cause!="progressing"}})',
                steps=RED_ABOVE_ZERO,
                help_text="Workloads that do not run what was applied, and something is wrong.",
            ),
        ),
    )


def _lead_times() -> tuple[tuple[int, int, Json], ...]:
    return (
        (12, 8, _quantiles("Merged to applied", _APPLIED)),
        (12, 8, _quantiles("Merged to running", _RUNNING)),
        (
            12,
            8,
            lines(
                "Where the time goes",
                Query(
                    f"sum by (stage) (increase(fluxtrail_delivery_duration_seconds_sum{{{_IN}}}[1h]))"
                    f" / sum by (stage) (increase(fluxtrail_delivery_duration_seconds_count{{{_IN}}}[1h]))",
                    "{{stage}}",
                ),
                unit="s",
                is_stacked=True,
                help_text="Mean time to reach each stage from the one before it.",
            ),
        ),
        (
            12,
            8,
            lines(
                "Share within 15 minutes",
                Query(
                    f'sum by (cluster) (increase({_APPLIED}_bucket{{{_IN},le=~"900([.]0)?"}}[6h]))'
                    f" / sum by (cluster) (increase({_APPLIED}_count{{{_IN}}}[6h]))",
                    "{{cluster}}",
                ),
                unit="percentunit",
                help_text="Merged to applied, over six hours.",
            ),
        ),
    )


def _on_their_way() -> tuple[tuple[int, int, Json], ...]:
    applied = f'fluxtrail_delivery_duration_seconds_count{{{_IN},stage="applied"}}'
    return (
        (12, 8, lines("In flight", Query(f"sum by (cluster) ({_INFLIGHT})", "{{cluster}}"), is_stacked=True)),
        (12, 8, lines("Oldest waiting", Query(f"max by ({_BY_TARGET}) ({_OLDEST}) > 0", _LEGEND), unit="s")),
        (12, 8, lines("Applied an hour", Query(f"sum by (cluster) (increase({applied}[1h]))", "{{cluster}}"))),
        (12, 8, lines("Not running, by cause", Query(f"sum by (cause) ({_NOT_RUNNING}) > 0", "{{cause}}"))),
    )


def _by_source() -> tuple[tuple[int, int, Json], ...]:
    slow = _of_source(f"increase({_APPLIED}_bucket{{{_IN}}}[6h])")
    help_text = "By the source that the target's Kustomization or HelmRelease names, as gotk_resource_info has it."
    return (
        (
            12,
            8,
            lines(
                "Merged to applied, 95 %",
                Query(f"histogram_quantile(0.95, sum by (source_name, le) ({slow}))", "{{source_name}}"),
                unit="s",
                help_text=help_text,
            ),
        ),
        (
            12,
            8,
            lines(
                "In flight",
                Query(f"sum by (source_name) ({_of_source(_INFLIGHT)})", "{{source_name}}"),
                is_stacked=True,
                help_text=help_text,
            ),
        ),
        (
            12,
            8,
            lines("Failing targets", Query(f"count by (customresource_kind) ({_FAILING})", "{{customresource_kind}}")),
        ),
        (
            12,
            8,
            table(
                "Failing now",
                _FAILING,
                {
                    "cluster": "Cluster",
                    "exported_namespace": "Namespace",
                    "customresource_kind": "Kind",
                    "name": "Name",
                    "source_name": "Source",
                    "revision": "Revision",
                },
            ),
        ),
    )


def _tables() -> tuple[tuple[int, int, Json], ...]:
    slowest = f"histogram_quantile(0.95, sum by ({_BY_TARGET}, le) (increase({_APPLIED}_bucket{{{_IN}}}[$__range])))"
    return (
        (
            12,
            9,
            table(
                "Slowest targets",
                f"topk(20, {slowest} > 0)",
                {**_TARGET, "Value": "95 %"},
                unit="s",
                help_text="Merged to applied, over the span.",
            ),
        ),
        (12, 9, table("Oldest now", f"topk(20, {_OLDEST} > 0)", {**_TARGET, "Value": "Waiting"}, unit="s")),
        (
            24,
            8,
            table(
                "Applied, but not running",
                f'sum by ({_BY_TARGET}, cause) ({_NOT_RUNNING[:-1]},cause!="progressing"}}) > 0',
                {**_TARGET, "cause": "Cause", "Value": "Workloads"},
            ),
        ),
        (
            12,
            8,
            lines(
                "Commits not found out",
                Query("sum(increase(fluxtrail_attribution_gaps_total[1h]))", "syncs without commits"),
                Query("max(fluxtrail_attribution_pending)", "syncs being looked at"),
            ),
        ),
        (
            12,
            8,
            lines(
                "Images, by what is known",
                Query('sum by (state) (max by (cluster, state) (fluxtrail_images{cluster=~"$cluster"}))', "{{state}}"),
            ),
        ),
    )


def _of_source(series: str) -> str:
    """Return the series with `source_name`: a target's own labels against those of the object it is.

    Where objects have no `cluster`, there is one cluster only, and they stand for its targets whatever its name.
    """

    def objects(where: str, by: str) -> str:
        found = f'gotk_resource_info{{customresource_kind=~"{RECONCILER_KINDS}"{where}}}'
        for label, old in (("namespace", "exported_namespace"), ("kind", "customresource_kind")):
            found = f'label_replace({found}, "{label}", "$1", "{old}", "(.*)")'
        for chart in ("chart_source_name", "chart_ref_name"):
            found = f'label_replace({found}, "source_name", "$1", "{chart}", "(.+)")'
        return f"on ({by}) group_left (source_name) max by ({by}, source_name) ({found})"

    everywhere, alone = objects("", _BY_TARGET), objects(',cluster=""', "namespace, kind, name")
    return f"({series} * {everywhere}) or ({series} * {alone})"


def _quantile(share: float, metric: str, span: str, by: str = "le") -> str:
    return f"histogram_quantile({share:g}, sum by ({by}) (increase({metric}_bucket{{{_IN}}}[{span}])))"


def _quantiles(title: str, metric: str) -> Json:
    half, most = (_quantile(share, metric, "6h", "cluster, le") for share in (0.5, 0.95))
    queries = (Query(half, "{{cluster}}, half"), Query(most, "{{cluster}}, 95 %"))
    return lines(title, *queries, unit="s", help_text="Over the six hours before.")
