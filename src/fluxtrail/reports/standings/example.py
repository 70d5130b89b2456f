"""A standing that templates are tried with."""

from __future__ import annotations

from datetime import UTC, datetime

from fluxtrail.model.moment import Evidence, Moment, Precision
from fluxtrail.model.standing import Standing
from fluxtrail.model.status import StatusState
from fluxtrail.model.views import CommitView, DeliveryView

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_MERGED = Moment(at=_AT, evidence=Evidence.BRANCH_MOVED, precision=Precision.OBSERVED)
_SHA = "0123456789abcdef0123456789abcdef01234567"
_DELIVERY = DeliveryView(
    sha=_SHA,
    repository="github.com/acme/shop",
    cluster="prod-eu",
    cluster_uid="00000000-0000-0000-0000-000000000000",
    target="Kustomization/flux-system/apps",
    target_id=1,
    verdict="failed",
    reason="HealthCheckFailed",
    message="timeout waiting for Deployment/shop/web",
    since=_AT,
    stages={"merged": _MERGED},
)

EXAMPLE = Standing(
    commit=CommitView(
        sha=_SHA,
        repository=_DELIVERY.repository,
        subject="Sell more",
        author="Ada",
        committed_at=_AT,
        merged=_MERGED,
        pull_request=12,
        web_url=f"https://github.com/acme/shop/commit/{_SHA}",
        is_carrier=False,
        verdicts={"failed": 1},
    ),
    branch="main",
    environment="production",
    state=StatusState.FAILURE,
    deliveries=(_DELIVERY,),
    speaker=_DELIVERY,
    stage="merged",
    since=_AT,
    lead_seconds=252.0,
)
