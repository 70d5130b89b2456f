"""`fluxtrail ci`: what is read from the surroundings, what is sent, and how long it is tried."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from fluxtrail.cli.ci_environment import read_environment
from fluxtrail.cli.ci_sending import send
from fluxtrail.cli.client import Client
from fluxtrail.cli.main import cli
from fluxtrail.model.ci import CiRole, CiState
from fluxtrail.model.errors import ConfigError, UpstreamError
from fluxtrail.web.statements import CiStatement, read_statement

SHA, OTHER = "9f3c1ab27de45061cc8a3b9d04e7f21a6b5c8d90", "4e1f0a2c3b5d697887a6b5c4d3e2f10918273645"
HERE = ["--repository", "github.com/acme/shop", "--sha", SHA, "--run-id", "812", "--state", "succeeded"]
GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "Acme/shop",
    "GITHUB_SHA": SHA, "GITHUB_RUN_ID": "1658821493", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_WORKFLOW": "Build",
    "GITHUB_RUN_NUMBER": "12", "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch",
    "GITHUB_EVENT_NAME": "push", "GITHUB_ACTOR": "ada", "GITHUB_HEAD_REF": "",
}  # fmt: skip
GITLAB = {
    "GITLAB_CI": "true", "CI_SERVER_HOST": "gitlab.example.com", "CI_PROJECT_PATH": "g/sub/shop",
    "CI_PROJECT_URL": "https://gitlab.example.com/g/sub/shop", "CI_COMMIT_SHA": SHA, "CI_PIPELINE_ID": "77",
    "CI_PIPELINE_URL": "https://gitlab.example.com/g/sub/shop/-/pipelines/77", "CI_COMMIT_REF_NAME": "main",
    "CI_PIPELINE_SOURCE": "push", "GITLAB_USER_LOGIN": "ada", "CI_MERGE_REQUEST_IID": "5",
}  # fmt: skip
AZURE = {
    "TF_BUILD": "True", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/Acme/", "SYSTEM_TEAMPROJECT": "Store",
    "BUILD_REPOSITORY_URI": "https://Acme@dev.azure.com/Acme/Store/_git/shop", "BUILD_SOURCEVERSION": SHA,
    "BUILD_BUILDID": "7254", "BUILD_DEFINITIONNAME": "shop", "BUILD_BUILDNUMBER": "20191031.3",
    "BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_REASON": "IndividualCI", "BUILD_REQUESTEDFOR": "Ada",
}  # fmt: skip
JENKINS = {
    "JENKINS_URL": "https://jenkins.example.com/", "JOB_NAME": "shop/my main", "BUILD_NUMBER": "9",
    "GIT_URL": "git@github.com:acme/shop.git", "GIT_COMMIT": SHA, "GIT_BRANCH": "origin/main",
    "BUILD_URL": "https://jenkins.example.com/job/shop/9/",
}  # fmt: skip
CIRCLE = {
    "CIRCLECI": "true", "CIRCLE_REPOSITORY_URL": "git@github.com:acme/shop.git", "CIRCLE_SHA1": SHA,
    "CIRCLE_WORKFLOW_ID": "0aa1-bb", "CIRCLE_JOB": "build", "CIRCLE_BUILD_NUM": "4", "CIRCLE_BRANCH": "main",
    "CIRCLE_PULL_REQUEST": "https://github.com/acme/shop/pull/12", "CIRCLE_USERNAME": "ada",
}  # fmt: skip
BUILDKITE = {
    "BUILDKITE": "true", "BUILDKITE_REPO": "https://github.com/acme/shop.git", "BUILDKITE_COMMIT": SHA,
    "BUILDKITE_BUILD_ID": "f62a1b4d", "BUILDKITE_BUILD_NUMBER": "3", "BUILDKITE_PIPELINE_NAME": "Shop",
    "BUILDKITE_PULL_REQUEST": "false", "BUILDKITE_BRANCH": "main", "BUILDKITE_SOURCE": "webhook",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may run in a CI system themselves."""
    for env in (GITHUB, GITLAB, AZURE, JENKINS, CIRCLE, BUILDKITE):
        for name in env:
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("env", "name", "key", "repository", "rest"),
    [
        (GITHUB, "GitHub Actions", ("github_actions", "github.com", "acme/shop", "1658821493"), "github.com/acme/shop",
         {"attempt": 2, "pipeline": "Build", "number": "#12", "branch": "main", "author": "ada", "event": "push",
          "url": "https://github.com/Acme/shop/actions/runs/1658821493"}),
        (GITLAB, "GitLab CI", ("gitlab_ci", "gitlab.example.com", "g/sub/shop", "77"), "gitlab.example.com/g/sub/shop",
         {"number": "#77", "pull_request": 5, "branch": "main"}),
        (AZURE, "Azure Pipelines", ("azure_pipelines", "dev.azure.com", "acme/store", "7254"),
         "dev.azure.com/acme/store/shop",
         {"number": "20191031.3", "branch": "main", "event": "IndividualCI",
          "url": "https://dev.azure.com/Acme/Store/_build/results?buildId=7254"}),
        (AZURE | {"SYSTEM_COLLECTIONURI": "https://acme.visualstudio.com/"}, "Azure Pipelines",
         ("azure_pipelines", "dev.azure.com", "acme/store", "7254"), "dev.azure.com/acme/store/shop", {}),
        (JENKINS, "Jenkins", ("stated", "jenkins.example.com", "github.com/acme/shop", "shop/my%20main#9"),
         "github.com/acme/shop", {"number": "#9", "branch": "main", "pipeline": "shop/my main"}),
        (CIRCLE, "CircleCI", ("stated", "circleci.com", "github.com/acme/shop", "0aa1-bb"), "github.com/acme/shop",
         {"pull_request": 12, "number": "#4"}),
        (BUILDKITE, "Buildkite", ("stated", "buildkite.com", "github.com/acme/shop", "f62a1b4d"),
         "github.com/acme/shop", {"pull_request": None, "branch": "main", "number": "#3"}),
    ],
    ids=["github", "gitlab", "azure", "visualstudio", "jenkins", "circle", "buildkite"],
)  # fmt: skip
def test_a_ci_system_says_which_run_it_is(
    env: dict[str, str], name: str, key: tuple[str, ...], repository: str, rest: dict[str, Any]
) -> None:
    around = read_environment(env)
    assert around.name == name
    run = read_statement(CiStatement(role=CiRole.BUILD, state=CiState.RUNNING, **around.facts), now=datetime.now(UTC))
    assert (*run.key[:4], run.repository, run.sha) == (*key, repository, SHA)
    assert {field: getattr(run, field) for field in rest} == rest


@pytest.mark.parametrize(
    ("event", "body", "sha"),
    [
        ("pull_request", {"pull_request": {"head": {"sha": OTHER}}}, OTHER),
        ("pull_request", {"pull_request": None}, SHA),
        ("push", {"pull_request": {"head": {"sha": OTHER}}}, SHA),
    ],
)
def test_a_pull_request_is_built_at_its_head(tmp_path: Path, event: str, body: dict[str, Any], sha: str) -> None:
    """GitHub builds a merge that exists nowhere else; its API names the head."""
    (tmp_path / "event.json").write_text(json.dumps(body))
    ref = {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_REF_NAME": "12/merge", "GITHUB_HEAD_REF": "more"}
    env = GITHUB | ref | {"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}
    facts = read_environment(env).facts
    assert (facts["sha"], facts["pull_request"], facts["branch"]) == (sha, 12, "more")


def test_outside_of_ci_nothing_is_known() -> None:
    assert read_environment({"GITHUB_ACTIONS": "false", "HOME": "/root"}).facts == {}


def dry(*arguments: str, **env: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["ci", *arguments, "--dry-run"], env=env)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_what_is_given_counts_more_than_the_surroundings() -> None:
    said = dry("build", "--state", "started", "--image", "ghcr.io/acme/shop:1", "--pipeline", "mine", **GITHUB)
    assert (said["state"], said["image"], said["pipeline"], said["sha"]) == (
        "running",
        "ghcr.io/acme/shop:1",
        "mine",
        SHA,
    )
    assert said["system"] == "github_actions"


def test_another_run_or_repository_takes_nothing_from_this_one() -> None:
    said = dry("build", "--state", "failed", "--run-id", "7", **GITHUB)
    assert (said["run_id"], said["sha"]) == ("7", SHA)
    assert not {"system", "project", "url", "number", "attempt"} & set(said)
    said = dry("export", "--state", "failed", "--repository", "github.com/acme/other", "--sha", OTHER, **GITHUB)
    assert (said["repository"], said["sha"], said["run_id"]) == ("github.com/acme/other", OTHER, "1658821493")
    assert not {"branch", "pull_request"} & set(said)
    said = dry("export", "--state", "succeeded", "--of-image", "main-1", "--carrier-sha", OTHER, **GITHUB)
    assert (said["of"], said["carrier_sha"], said.get("allow_unfollowed")) == ({"image": "main-1"}, OTHER, None)
    assert dry("export", "--state", "succeeded", "--allow-unfollowed", **GITHUB)["allow_unfollowed"] is True
    assert not {"repository", "sha"} & set(said)


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["build", "--state", "succeeded"], {}, "--repository and --sha and --run-id must be given"),
        (["build", "--state", "succeeded", "--repository", "github.com/a/b"], GITHUB, "--sha must be given"),
        (["build", "--state", "done"], GITHUB, "--state"),
        (["export", *HERE, "--sha", "xyz"], {}, "sha: 'xyz': give the whole sha"),
        (["build", *HERE, "--sha", "2" * 40], {}, "a run builds one commit"),
        (["build", *HERE, "--image", "<b>"], {}, "image"),
        (["build", *HERE, "--url", "javascript:x"], {}, "http or https"),
        (["build", *HERE, "--pipeline", "p" * 201], {}, "--pipeline"),
        (["export", *HERE, "--of-image", "x"], {}, "exclude each other"),
        (["record"], {}, "FILTER VALUE"),
        (["record", "p1", "1", "color", "red"], {}, "names no column"),
        (["record", "account", "verysecret", "table", "prod", "p9", "1"], {}, "names no column"),
        (["record", "imageTag", "x", "pr", "5"], {}, "p1, p2 or p3"),
        (["record", "pr", "5", "p2", "7"], {}, "no commit is found by pr"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_said(arguments: list[str], env: dict[str, str], said: str) -> None:
    result = CliRunner().invoke(cli, ["ci", *arguments, "--dry-run"], env=env)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert "verysecret" not in result.output


TABLE = ["account", "a-key==", "table", "prod"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            [*TABLE, "p1", "7254", "imageTag", "Hello-1", "commitId", SHA, "service", "acme/hello", "sourceRepo",
             "https://github.com/acme/hello"],
            [{"role": "build", "run_id": "7254", "image": "Hello-1", "sha": SHA, "service": "acme/hello",
              "repository": "https://github.com/acme/hello"}],
        ),
        (
            [*TABLE, "imageTag", "hello-1", "p2", "264", "env", "Dev", "hldCommitId", "abcdef1", "pr", "12"],
            [{"role": "export", "run_id": "264", "environment": "Dev", "carrier_sha": "abcdef1", "pull_request": 12,
              "of": {"image": "hello-1"}}],
        ),
        (
            ["HLDCOMMITID", "abcdef1", "p3", "7255", "manifestCommitId", "096c952", "manifestRepo", "github.com/a/m"],
            [{"role": "export", "run_id": "7255", "carrier_sha": "096c952", "carrier_repository": "github.com/a/m",
              "of": {"role": "export", "carrier_sha": "abcdef1"}}],
        ),
        (
            ["p1", "7", "p2", "7", "imageTag", "x"],
            [{"role": "export", "run_id": "7", "of": {"run_id": "7", "role": "build"}}],
        ),
        (
            ["commitId", "37a429f", "p1", "1", "p2", "2", "p3", "3", "service", "cart"],
            [{"role": "build", "run_id": "1", "of": {"sha": "37a429f"}},
             {"role": "export", "run_id": "2", "of": {"sha": "37a429f"}},
             {"role": "export", "run_id": "3", "service": "cart"}],
        ),
        (
            ["imageTag", "x", "p2", "2", "hldCommitId", "abcdef1", "hldRepo", "github.com/a/h", "p3", "3",
             "manifestCommitId", "096c952", "manifestRepo", "github.com/a/m"],
            [{"run_id": "2", "carrier_repository": "github.com/a/h", "allow_unfollowed": True},
             {"run_id": "3", "carrier_repository": "github.com/a/m", "allow_unfollowed": True}],
        ),
    ],
    ids=["source", "hld", "manifest", "multi-stage", "fourth-pair", "definitions"],
)  # fmt: skip
def test_rows_of_the_table_writer_are_runs(arguments: list[str], expected: list[dict[str, Any]]) -> None:
    result = CliRunner().invoke(cli, ["ci", "record", *arguments, "--dry-run", "-o", "yaml"])
    assert result.exit_code == 0, result.output
    import yaml

    found = list(yaml.safe_load_all(result.stdout))
    assert len(found) == len(expected)
    for said, wanted in zip(found, expected, strict=True):
        assert {name: said.get(name) for name in wanted} == wanted
        assert said["state"] == "succeeded"
    assert "a-key" not in result.output


def test_the_row_of_the_pipeline_that_runs_us_knows_the_whole_commit() -> None:
    result = CliRunner().invoke(cli, ["ci", "record", "p1", "7254", "commitId", SHA[:7], "--dry-run"], env=AZURE)
    said = json.loads(result.stdout)
    assert (said["sha"], said["system"], said["number"]) == (SHA, "azure_pipelines", "20191031.3")


class Server:
    """Answers as told, then 201."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.got: list[dict[str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.got.append(body)
        if self.answers:
            status, answer = self.answers.pop(0)
            return web.json_response(answer, status=status)
        said = CiStatement(
            **{k: v for k, v in body.items() if k in ("repository", "sha", "run_id")},
            role=CiRole.BUILD,
            state=CiState.SUCCEEDED,
        )
        run = read_statement(said, now=datetime.now(UTC))
        import msgspec

        return web.Response(status=201, body=msgspec.json.encode(run), content_type="application/json")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    told = Server()
    app = web.Application()
    app.router.add_post("/api/v1/ci/runs", told.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield told
    await runner.cleanup()


def problem(status: int, code: str) -> tuple[int, Any]:
    return status, {"code": code, "title": code, "status": status, "detail": f"it is {code}"}


async def invoke(server: Server, *arguments: str) -> Result:
    env = {"FLUXTRAIL_SERVER": server.url, "NO_COLOR": "1", "FLUXTRAIL_TOKEN": None, "PYTHONUTF8": "1"}
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cli, ["ci", *arguments], env=env))


async def test_a_run_is_stated(server: Server) -> None:
    result = await invoke(server, "build", *HERE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "build of github.com/acme/shop 9f3c1ab" in result.stdout
    assert server.got[0]["repository"] == "github.com/acme/shop"
    assert json.loads((await invoke(server, "build", *HERE, "-o", "json")).stdout)["run_id"] == "812"
    assert (await invoke(server, "build", *HERE, "-o", "name")).stdout == "run/812\n"


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [(problem(400, "invalid_parameter"), 1), (problem(403, "forbidden"), 1), (problem(401, "unauthorized"), 1),
     (problem(404, "unknown_commit"), 1), (problem(503, "unavailable"), 3)],
)  # fmt: skip
async def test_what_is_refused_is_not_tried_again(server: Server, answer: tuple[int, Any], exit_code: int) -> None:
    server.answers = [answer]
    result = await invoke(server, "build", *HERE, "--timeout", "0s")
    assert result.exit_code == exit_code, result.output
    assert len(server.got) == 1


async def test_nobody_there_is_a_timeout(server: Server) -> None:
    server.url = "http://127.0.0.1:1"
    assert (await invoke(server, "build", *HERE, "--timeout", "0s")).exit_code == 3


class Time:
    """Sleeps at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def sender(server: Server, time: Time, **said: Any) -> Callable[[], Any]:
    known = {"repository": "github.com/acme/shop", "sha": SHA, "role": CiRole.BUILD, "state": CiState.SUCCEEDED}
    statement = CiStatement(run_id="812", **{**known, **said})
    return lambda: send(
        Client(server.url),
        statement,
        timeout_seconds=60,
        say=lambda _: None,
        sleep=time.sleep,
        monotonic=lambda: time.now,
    )


async def test_it_is_tried_again_with_growing_rests(server: Server) -> None:
    server.answers = [problem(503, "unavailable"), problem(429, "too_many"), problem(500, "internal")]
    time = Time()
    run = await anyio.to_thread.run_sync(sender(server, time))
    assert run.run_id == "812"
    assert [round(rest) for rest in sorted(time.slept)] == [round(rest) for rest in time.slept]
    assert len(time.slept) == 3
    assert server.got == [server.got[0]] * 4, "the same statement each time"


async def test_it_is_given_up_after_a_minute(server: Server) -> None:
    server.answers = [problem(503, "unavailable")] * 50
    time = Time()
    with pytest.raises(UpstreamError, match="given up after 60 s") as caught:
        await anyio.to_thread.run_sync(sender(server, time))
    assert caught.value.retryable
    assert time.now == pytest.approx(60)


async def test_a_short_sha_may_become_known(server: Server) -> None:
    server.answers = [problem(404, "unknown_commit")]
    assert (await anyio.to_thread.run_sync(sender(server, Time(), sha=SHA[:8]))).run_id == "812"
    assert len(server.got) == 2


def test_a_run_needs_a_sane_time() -> None:
    without_offset = datetime.fromisoformat("2026-03-01T12:00:00")
    said = CiStatement(
        role=CiRole.BUILD,
        repository="github.com/a/b",
        sha=SHA,
        run_id="1",
        state=CiState.FAILED,
        at=without_offset,
    )
    with pytest.raises(ConfigError, match="RFC 3339"):
        read_statement(said, now=datetime.now(UTC))
