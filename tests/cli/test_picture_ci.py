"""What a trail says of CI and of the pull request."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.cli.golden import Golden
from tests.cli.test_picture import TERMINAL
from tests.model.ci import NOON, minutes, run

from fluxtrail.cli.picture import Picture
from fluxtrail.cli.picture_ci import ci_lines
from fluxtrail.model.ci import Approval, CiRole, CiRun, CiState, PullRequest
from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.views import CommitView, DeliveryView, TrailView

PULL = PullRequest(
    repository="github.com/acme/shop",
    number=12,
    title="Sell more",
    author="ada",
    state="merged",
    merged_by="grace",
    approvals=(
        Approval(by="grace", state="approved"),
        Approval(by="eve", state="changes_requested"),
        Approval(by="lin", state="commented"),
        Approval(by="bob", state="approved"),
    ),
)


def _trail(*runs: CiRun, pull: PullRequest | None = None, **given: Any) -> TrailView:
    commit = CommitView(
        sha="a" * 40,
        repository="github.com/acme/shop",
        subject="Sell more",
        author="Ada",
        committed_at=None,
        merged=exact(NOON, Evidence.PULL_REQUEST),
        pull_request=12,
        is_carrier=False,
        web_url=None,
        verdicts={},
    )
    return TrailView(commit=commit, queried="aaaa", ci_runs=list(runs), pull_request=pull, **given)


def _lines(*runs: CiRun, is_wide: bool = False, pull: PullRequest | None = None) -> list[str]:
    lines = ci_lines(_trail(*runs, pull=pull), now=minutes(7), is_wide=is_wide)
    return [f"{line.style}: {' | '.join(line.parts)}" for line in lines]


def test_a_build_that_is_over_says_how_long_it_took_and_where_it_is() -> None:
    done = run(url="https://ci.test/7", number="#812", started_at=minutes(1))
    assert _lines(done) == ["dim: build: build #812 succeeded in 4m | https://ci.test/7"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"state": CiState.RUNNING, "finished_at": None}, "dim: build: build running for 7m"),
        ({"state": CiState.FAILED}, "failed: build: build failed in 5m"),
        ({"state": CiState.UNKNOWN, "finished_at": None, "attempt": 2}, "warn: build: build, attempt 2 unknown for 7m"),
        ({"queued_at": None}, "dim: build: build succeeded"),
        ({"finished_at": None}, "dim: build: build succeeded"),
        ({"role": CiRole.EXPORT, "pipeline": ""}, "dim: export: pipeline succeeded in 5m"),
        (
            {"pipeline": "x\x1b[31m", "url": "https://ci.test/\x07"},
            "dim: build: x�[31m succeeded in 5m | https://ci.test/�",
        ),
    ],
    ids=["running", "failed", "again", "no begin", "no end", "export", "escapes"],
)
def test_how_a_run_stands(changed: dict[str, Any], said: str) -> None:
    (line,) = _lines(run(**changed))
    assert line.replace("?", "�") == said


def test_of_each_pipeline_the_last_run_is_told_and_all_where_it_is_wide() -> None:
    runs = [
        run("1", state=CiState.FAILED),
        run("2", queued_at=minutes(1)),
        run("3", pipeline="docs", state=CiState.SKIPPED),
        *(run(str(number), pipeline=f"p{number}", queued_at=minutes(2)) for number in range(4, 7)),
    ]
    assert [line.split()[2] for line in _lines(*runs)] == ["p4", "p5", "p6", "1"]
    assert len(_lines(*runs, is_wide=True)) == len(runs)


def test_a_pull_request_says_who_let_it_in() -> None:
    said = "pull request #12 by ada | approved by grace, bob | changes requested by eve | merged by grace"
    assert _lines(pull=PULL) == [f"dim: {said}"]
    assert _lines(pull=replace(PULL, state="open", merged_by="", approvals=())) == [
        "dim: pull request #12 by ada | open"
    ]


def test_a_trail_with_all_of_it(golden: Golden) -> None:
    stages = {
        "merged": exact(NOON, Evidence.PULL_REQUEST),
        "built": exact(minutes(5), Evidence.CI_RUN),
        "exported": exact(minutes(6), Evidence.BRANCH_MOVED),
        "applied": exact(minutes(7), Evidence.STATUS_OBSERVED),
    }
    delivery = DeliveryView(
        sha="a" * 40,
        repository="github.com/acme/shop",
        target="Kustomization/flux-system/apps",
        target_id=1,
        cluster="prod-eu",
        cluster_uid="c1",
        verdict="deployed",
        reason="",
        since=minutes(7),
        stages=stages,
    )
    trail = _trail(run(url="https://ci.test/7", number="#812"), pull=PULL, deliveries=[delivery], is_settled=True)
    lines = Picture(trail, TERMINAL, now=minutes(9), where=UTC, is_wide=False).lines()
    golden.check(Path(__file__).parent / "golden" / "trace_built.txt", "\n".join(lines) + "\n")
