"""Alerts over Flux's own objects and controllers.

They look at `gotk_resource_info` without its changing labels (`revision`, `ready` on its way): a series that is
replaced by another would begin its `for` anew. `Unknown` counts as not ready: Flux says so at every retry
of what fails.
Clusters are told apart by `cluster`; controllers that are scraped without it stand for every cluster there is.
"""

from __future__ import annotations

from fluxtrail.monitoring.flux import CONTROLLER_OF, SOURCE_KINDS
from fluxtrail.monitoring.rules import Alert, Group

_OBJECT = "cluster, customresource_kind, exported_namespace, name"
_NOT_READY = 'ready=~"False|Unknown",suspended!="true"'
_NAMED = "{{ $labels.customresource_kind }}/{{ $labels.exported_namespace }}/{{ $labels.name }}"
_WHERE = "{{ with $labels.cluster }} on {{ . }}{{ end }}"


def flux_rules() -> Group:
    return Group("flux", (_absent(), _idle(), *_objects()))


def _objects() -> tuple[Alert, ...]:
    return (
        Alert(
            name="ResourceNotReady",
            expr=f'max by ({_OBJECT}) (gotk_resource_info{{{_NOT_READY},customresource_kind!~"{SOURCE_KINDS}"}}) == 1',
            lasts="15m",
            severity="warning",
            summary=f"{_NAMED} is not ready{_WHERE}",
            description="It has not been ready for 15 minutes, and nobody suspended it.",
        ),
        Alert(
            name="SourceStale",
            expr=f'max by ({_OBJECT}) (gotk_resource_info{{{_NOT_READY},customresource_kind=~"{SOURCE_KINDS}"}}) == 1',
            lasts="15m",
            severity="warning",
            summary=f"{_NAMED} is not fetched{_WHERE}",
            description="Flux has not got anything new from it for 15 minutes: what is merged there goes nowhere.",
        ),
        Alert(
            name="HelmReleaseRetriesExhausted",
            expr=f'max by ({_OBJECT}) (gotk_resource_info{{customresource_kind="HelmRelease",ready="False",'
            'suspended!="true"}) == 1',
            lasts="1h",
            severity="critical",
            summary=f"{_NAMED} has failed for an hour{_WHERE}",
            description="Most often Flux has used up its retries, and will not try again before something changes.",
        ),
        Alert(
            name="SuspendedTooLong",
            expr=f'max by ({_OBJECT}) (gotk_resource_info{{suspended="true"}}) == 1',
            lasts="1d",
            severity="warning",
            summary=f"{_NAMED} has been suspended for a day{_WHERE}",
            description="Nothing is delivered by it, and drift is not corrected, until it is resumed.",
        ),
    )


def _absent() -> Alert:
    return Alert(
        name="FluxControllerAbsent",
        expr=_any_kind(
            'count by (cluster) (gotk_resource_info{{customresource_kind="{kind}"}})'
            ' unless on (cluster) controller_runtime_reconcile_total{{controller="{controller}"}}'
            ' unless on () controller_runtime_reconcile_total{{controller="{controller}",cluster=""}}'
        ),
        lasts="15m",
        severity="critical",
        summary=f"{{{{ $labels.program }}}} is not there{_WHERE}",
        description="There are objects of its kinds, but it has served no metrics for 15 minutes.",
    )


def _idle() -> Alert:
    """Half an hour seen twice: counters of a controller that just came begin anew, and would look idle at once."""
    return Alert(
        name="FluxNotReconciling",
        expr=_any_kind(
            'sum by (cluster) (increase(controller_runtime_reconcile_total{{controller="{controller}"}}[30m])) == 0'
            ' and on (cluster) gotk_resource_info{{customresource_kind="{kind}",suspended!="true"}}'
            " or sum by (cluster)"
            ' (increase(controller_runtime_reconcile_total{{controller="{controller}",cluster=""}}[30m])) == 0'
            ' and on () gotk_resource_info{{customresource_kind="{kind}",suspended!="true"}}'
        ),
        lasts="30m",
        severity="critical",
        summary=f"{{{{ $labels.program }}}} reconciles no {{{{ $labels.kind }}}}{_WHERE}",
        description="It serves metrics and there are objects to reconcile, but it has not touched any for an hour.",
    )


def _any_kind(template: str) -> str:
    """Return the query for each kind that is reconciled at an interval, with the kind and its program as labels."""
    found = []
    for kind, program in CONTROLLER_OF.items():
        query = template.format(kind=kind, controller=kind.lower())
        labelled = f'label_replace({query}, "kind", "{kind}", "", "")'
        found.append(f'label_replace({labelled}, "program", "{program}", "", "")')
    return "\nor ".join(found)
