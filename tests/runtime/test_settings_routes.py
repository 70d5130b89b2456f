"""The sections `environments`, `routes`, `budgets` and `hooks`, and `public_url`."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.notices import Hook
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.routes import Commits, RouteKind, Until
from fluxtrail.runtime.settings.hooks import SenderSetting
from fluxtrail.runtime.settings.routes import _TAKES, EnvironmentSetting, RouteSetting, grouping_of
from fluxtrail.runtime.settings.settings import Settings, load_settings

SECRET_URL = "https://hooks.slack.example.com/services/T0/B0/hunter2hunter2"
LEAST: dict[RouteKind, dict[str, Any]] = {
    RouteKind.GITHUB_STATUS: {},
    RouteKind.GITHUB_DEPLOYMENT: {},
    RouteKind.GITHUB_DISPATCH: {"repository": "github.com/acme/shop"},
    RouteKind.GITLAB_STATUS: {},
    RouteKind.GITLAB_DEPLOYMENT: {},
    RouteKind.AZURE_DEVOPS_STATUS: {},
    RouteKind.AZURE_DEVOPS_TASK: {"repository": "dev.azure.com/acme/shop/manifests"},
    RouteKind.GITEA_STATUS: {"repositories": ["codeberg.org/acme/*"]},
    RouteKind.BITBUCKET_STATUS: {"repositories": ["bitbucket.org/acme/*"]},
    RouteKind.SLACK: {"address": SECRET_URL},
    RouteKind.TEAMS: {"address_file": "/etc/fluxtrail/teams"},
    RouteKind.WEBHOOK: {"address": "http://receiver.tools:8080/in"},
    RouteKind.CDEVENTS: {"address": "https://events.example.com"},
    RouteKind.SUBSCRIBER: {"address": "https://sub.example.com/x?y=z"},
}
"""What each kind cannot do without."""


def load(folder: Path, **settings: Any) -> Settings:
    path = folder / "fluxtrail.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return load_settings(path=path, flags={}, environ={})


def refusal(folder: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, **settings)
    return str(caught.value)


def route(**fields: Any) -> dict[str, Any]:
    return {"name": "pull-requests", "to": "github_status", **fields}


def test_nothing_is_told_or_taken_by_default() -> None:
    found = load_settings(path=None, flags={}, environ={})
    assert (found.routes, found.environments, found.hooks.listen, found.hooks.senders) == ((), (), "", ())
    assert (found.hooks.gitopsphase.anonymous, found.hooks.flux.anonymous) == (False, False)
    assert (found.budgets.github_per_minute, found.budgets.github_per_hour) == (75, 450)


def test_every_kind_has_its_least_and_its_fields() -> None:
    assert set(LEAST) == set(_TAKES) == set(RouteKind)
    for kind in RouteKind:
        assert set(_TAKES[kind]) <= set(RouteSetting.model_fields)
    assert set(RouteSetting.model_fields) == set().union(*_TAKES.values())


@pytest.mark.parametrize("kind", list(RouteKind))
def test_the_least_of_a_kind_is_a_route(kind: RouteKind, tmp_path: Path) -> None:
    (found,) = load(tmp_path, routes=[{"name": "one", "to": kind.value, **LEAST[kind]}]).routes
    made = found.to_route()
    assert (made.name, made.kind, made.sink) == ("one", kind, "route.one")
    assert (made.until, made.commits, made.says_pending, made.says_unaffected) == (
        Until.DEPLOYED, Commits.ALL, True, kind is RouteKind.AZURE_DEVOPS_TASK,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind, least in LEAST.items() for field in least] + [(RouteKind.SLACK, "channel")],
)
def test_what_a_kind_cannot_do_without_is_asked_for_by_name(kind: RouteKind, field: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, routes=[{"name": "one", "to": kind.value}])
    wanted = "channel" if kind is RouteKind.SLACK else field.removesuffix("_file")
    assert f"setting routes.0: {wanted} is missing; a route to {kind.value} needs" in said


@pytest.mark.parametrize("kind", list(RouteKind))
def test_a_field_of_another_kind_is_refused_with_those_there_are(kind: RouteKind, tmp_path: Path) -> None:
    stray = sorted(set(RouteSetting.model_fields) - _TAKES[kind])[0]
    said = refusal(tmp_path, routes=[{"name": "one", "to": kind.value, **LEAST[kind], stray: "x"}])
    assert f"'{stray}' is nothing that a route to {kind.value} has; it may have {sorted(_TAKES[kind])[0]}" in said


def test_a_whole_route_says_its_rules(tmp_path: Path) -> None:
    (found,) = load(
        tmp_path,
        routes=[
            route(
                repositories=["GitHub.com/Acme/Shop.git"],
                commits="source",
                environments=["prod*"],
                targets=["Kustomization/flux-system/*"],
                until="running",
                fail_after_seconds=90,
                pending=False,
                unaffected=True,
                refresh_seconds=60,
                context="deploy/{{ environment }}",
                url="https://example.com/{{ commit.sha }}",
            )
        ],
    ).routes
    made = found.to_route()
    assert (made.repositories, made.targets) == (("github.com/acme/shop",), ("Kustomization/flux-system/*",))
    assert (made.commits, made.until, made.fail_after) == (Commits.SOURCE, Until.RUNNING, timedelta(seconds=90))
    assert (made.says_pending, made.says_unaffected, made.refresh) == (False, True, timedelta(minutes=1))
    assert made.admits_environment("prod-eu")
    assert not made.admits_environment("staging")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Pull"}, "setting routes.0.name: must be small letters, digits and '-', 63 at most"),
        ({"name": "a" * 64}, "setting routes.0.name: must be small letters"),
        ({"name": ""}, "setting routes.0: name is missing; give the route a name"),
        ({"to": "github"}, "setting routes.0.to: Input should be 'github_status'"),
        ({"to": None}, "setting routes.0: to is missing; give the route one of github_status, github_deployment"),
        ({"commits": "some"}, "setting routes.0.commits: Input should be 'all', 'source' or 'manifests'"),
        ({"until": "healthy"}, "setting routes.0.until: Input should be 'deployed' or 'running'"),
        ({"fail_after_seconds": -1}, "setting routes.0.fail_after_seconds: Input should be greater"),
        ({"refresh_seconds": 1}, "setting routes.0.refresh_seconds: Input should be greater"),
        ({"repositories": ["https://github.com/acme/x"]}, "write host/owner/name, with * for any part"),
        ({"context": " "}, "setting routes.0.context: is empty; leave it out for the default"),
        ({"context": "{{ environment"}, "setting routes.0.context: the template cannot be"),
        (
            {"context": "{{ cluster }}/{{ environment }}"},
            "setting routes.0.context: uses 'cluster', which changes while",
        ),
        ({"description": "{{ commit.pull_request + 1 }}"}, "it fails where a commit has no pull request, or nothing"),
        ({"url": "https://x.example/{{ clusters[0] }}"}, "it fails where a commit has no pull request, or nothing"),
        ({"description": "{{ enviroment }}"}, "'enviroment' is undefined; names are cluster, clusters, commit, "),
        (
            {"description": "{% if state == 'success' %}{{ led }}{% endif %}"},
            "the template uses 'led', which there is not; names are cluster, clusters, commit, ",
        ),
        (
            {"description": "{% if state == 'success' %}{{ commit.title }}{% endif %}"},
            "the template uses 'commit.title', which there is not; a commit has sha, short_sha, subject",
        ),
        (
            {"description": "{{ state | shout }}"},
            "setting routes.0.description: the template cannot be used: No filter",
        ),
        ({"description": "{{ state.__class__ }}"}, "setting routes.0.description: the template cannot be used: access"),
        ({"url": "x" * 9000}, "the template has 9000 characters, more than 8192"),
    ],
)
def test_a_wrong_field_is_named_with_its_remedy(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, routes=[route(**fields)])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"to": "slack", "channel": "#a b", "token_file": "/x"}, "routes.0.channel: is no channel; write its name"),
        ({"to": "slack", "channel": "#deploys"}, "token_file is missing; a route to slack needs channel and"),
        ({"to": "slack", "address": SECRET_URL, "channel": "#a"}, "an incoming webhook has its channel already"),
        ({"to": "teams", "address": SECRET_URL, "address_file": "/x"}, "address and address_file are both there"),
        ({"to": "teams", "address": "hooks.example.com/hunter2hunter2"}, "routes.0.address: is no URL; write https"),
        ({"to": "webhook", "address": "ftp://x.example.com/hunter2hunter2"}, "routes.0.address: is no URL"),
        ({"to": "webhook", "address": "https://x.example.com/hunter2hunter2\n"}, "without spaces and line ends"),
        ({"to": "webhook", "address": SECRET_URL, "verdicts": ["gone"]}, "routes.0.verdicts.0: Input should be 'pend"),
        ({"to": "subscriber", "address": SECRET_URL, "source": "events"}, "Input should be 'state' or 'phases'"),
        ({"to": "github_dispatch", "repository": "shop"}, "routes.0.repository: is no repository; write host/owner"),
        (
            {"to": "github_dispatch", "repository": "github.com/a/b", "event_type": "a b"},
            "routes.0.event_type: must be letters, digits",
        ),
        ({"to": "gitea_status", "repositories": ["x.org/*"], "api_url": "x.org"}, "routes.0.api_url: is no URL"),
        ({"to": "gitea_status", "repositories": ["*/acme"]}, "repositories has '*/acme', which names no host"),
        ({"to": "bitbucket_status", "repositories": ["b.org/*", "git[12].x/y"]}, "'git[12].x/y', which names no host"),
        (
            {"to": "gitea_status", "repositories": ["x.org/*", "y.org/*"], "api_url": "https://x.org/api/v1"},
            "api_url is that of one host, and repositories names x.org, y.org",
        ),
    ],
)
def test_a_wrong_receiver_is_named_and_never_shown(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, routes=[{"name": "one", **fields}])
    assert said in message
    assert "hunter2" not in message


def test_a_message_of_a_whole_commit_may_name_all_environments(tmp_path: Path) -> None:
    text = "{% for one in environments %}{{ one.environment }}: {{ one.summary }} {% endfor %}"
    chat = {"name": "chat", "to": "slack", "address": SECRET_URL, "text": text}
    assert load(tmp_path, routes=[chat]).routes[0].templates == {"text": text}
    assert "'environments' is undefined" in refusal(tmp_path, routes=[route(description=text)])


def test_an_address_is_never_shown(tmp_path: Path) -> None:
    found = load(tmp_path, routes=[{"name": "chat", "to": "slack", "address": SECRET_URL}])
    assert "hunter2" not in repr(found)
    assert "hunter2" not in found.model_dump_json()
    address = found.routes[0].address
    assert address is not None
    assert address.get_secret_value() == SECRET_URL


def test_names_are_there_once(tmp_path: Path) -> None:
    assert "setting routes: 'pull-requests' is there twice; give each its own name" in refusal(
        tmp_path, routes=[route(), route()]
    )
    twice = [{"name": "prod"}, {"name": "prod", "clusters": ["eu"]}]
    assert "setting environments: 'prod' is there twice" in refusal(tmp_path, environments=twice)
    assert "setting routes: has 101 entries" in refusal(tmp_path, routes=[route(name=f"r{n}") for n in range(101)])


def test_production_may_be_all_or_some(tmp_path: Path) -> None:
    def production(value: Any) -> tuple[str, ...]:
        return load(tmp_path, routes=[route(to="github_deployment", production=value)]).routes[0].production

    assert [production(value) for value in (True, False, ["prod-*"])] == [("*",), (), ("prod-*",)]


def test_routes_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_ROUTES", json.dumps([route(verdicts=["failed"], to="teams", address=SECRET_URL)]))
    monkeypatch.setenv("FLUXTRAIL_HOOKS__LISTEN", ":9292")
    monkeypatch.setenv("FLUXTRAIL_HOOKS__GITOPSPHASE__ANONYMOUS", "true")
    monkeypatch.setenv("FLUXTRAIL_BUDGETS__GITHUB_PER_HOUR", "100")
    found = load_settings(path=None, flags={})
    assert found.routes[0].to_route().verdicts == {Verdict.FAILED}
    assert (found.hooks.listen, found.hooks.gitopsphase.anonymous, found.budgets.github_per_hour) == (
        ":9292",
        True,
        100,
    )


def test_the_first_environment_that_fits_has_a_target(tmp_path: Path) -> None:
    stated = [
        {"name": "Production EU", "clusters": ["prod-eu-*"]},
        {"name": "preview", "targets": ["Kustomization/preview/*"]},
    ]
    grouping = grouping_of(load(tmp_path, environments=stated).environments)
    target = "Kustomization/preview/shop"
    assert grouping.environment_of("prod-eu-1", target) == "Production EU"
    assert grouping.environment_of("dev", target) == "preview"
    assert grouping.environment_of("dev", "Kustomization/flux-system/shop") == "dev"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"environments": [{"name": "prod\n"}]}, "setting environments.0.name: must be letters, digits"),
        (
            {"environments": [{"name": "prod", "clusters": []}]},
            "environments.0.clusters: is empty, and would fit nothing",
        ),
        ({"environments": [{"name": "prod", "cluster": "eu"}]}, "no such setting; known are clusters, name, targets"),
        ({"budgets": {"github_per_hour": 501}}, "setting budgets.github_per_hour: Input should be less than or equal"),
        ({"budgets": {"github_per_minute": 0}}, "setting budgets.github_per_minute: Input should be greater"),
        ({"public_url": "fluxtrail.example.com"}, "setting public_url: is no URL; write https://host/path"),
        ({"public_url": "https://x.example.com/?a=b"}, "setting public_url: is no address of a page"),
        (
            {"hooks": {"senders": [{"name": "flux"}]}},
            "setting hooks.senders.0: neither secret nor secret_file is there",
        ),
        (
            {"hooks": {"senders": [{"name": "flux", "secret": "hunter2" * 3, "secret_file": "/x"}]}},
            "secret and secret_file are both there; a sender needs exactly one",
        ),
        ({"hooks": {"senders": [{"name": "flux", "secret": "hunter2"}]}}, "senders.0.secret: is shorter than 16"),
        (
            {"hooks": {"senders": [{"name": "Flux", "secret_file": "/x"}]}},
            "hooks.senders.0.name: must be small letters",
        ),
        ({"hooks": {"senders": [{"name": "f", "secret_file": "/x", "hooks": ["slack"]}]}}, "Input should be 'flux'"),
        (
            {"hooks": {"senders": [{"name": "f", "secret_file": "/x", "repository": "manifests"}]}},
            "hooks.senders.0.repository: is no repository; write host/owner/name",
        ),
        (
            {"hooks": {"senders": [{"name": "f", "secret_file": "/x", "path": "../x"}]}},
            "hooks.senders.0.path: is no path below the repository",
        ),
        (
            {"hooks": {"senders": [{"name": "f", "secret_file": "/x"}, {"name": "f", "secret_file": "/y"}]}},
            "setting hooks.senders: 'f' is there twice",
        ),
        ({"hooks": {"flux": {"per_minute": 0}}}, "setting hooks.flux.per_minute: Input should be greater"),
    ],
)
def test_other_sections_name_what_is_wrong(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, **settings)
    assert said in message
    assert "hunter2" not in message


def test_a_sender_is_read_as_it_is_meant(tmp_path: Path) -> None:
    sender = {
        "name": "prod-eu",
        "secret": "hunter2" * 3,
        "hooks": ["flux", "gitopsphase"],
        "cluster": "prod-eu",
        "repository": "https://github.com/Acme/Manifests.git",
        "path": "./clusters/prod/",
    }
    (found,) = load(tmp_path, hooks={"listen": ":9292", "senders": [sender]}).hooks.senders
    assert (found.hooks, found.repository) == ((Hook.FLUX, Hook.GITOPSPHASE), "github.com/acme/manifests")
    assert (found.path, found.cluster) == ("clusters/prod", "prod-eu")
    assert "hunter2" not in repr(found)


def test_a_page_has_no_slash_at_its_end(tmp_path: Path) -> None:
    assert load(tmp_path, public_url="https://fluxtrail.example.com/x/").public_url == "https://fluxtrail.example.com/x"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
SECTIONS: dict[str, list[str]] = {
    "routes": [*RouteSetting.model_fields],
    "environments": [*EnvironmentSetting.model_fields],
    "senders": [*SenderSetting.model_fields],
}
KINDS = st.sampled_from([kind.value for kind in RouteKind])


@pytest.mark.parametrize("section", SECTIONS)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_is_stated_is_read_or_refused_by_name(section: str, data: st.DataObject) -> None:
    entry = data.draw(st.dictionaries(st.sampled_from(SECTIONS[section]), JUNK, max_size=5))
    if section == "routes":
        entry = {"name": "one", "to": data.draw(KINDS), **entry}
    stated = data.draw(st.just([entry]) | JUNK)
    flag = "hooks.senders" if section == "senders" else section
    try:
        load_settings(path=None, flags={flag: stated}, environ={})
    except ConfigError as exc:
        subject = exc.subject or ""
    else:
        return
    assert subject.startswith(f"setting {flag}")


RUNNING = {"name": "two", "to": "github_status", "until": "running"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"context": "fluxtrail/{{ environment }}"}, {}),
        ({"commits": "source"}, {"commits": "all"}),
        ({"repositories": ["github.com/acme/*"]}, {"repositories": ["github.com/acme/shop", "github.com/b/c"]}),
        ({"environments": ["prod*"]}, {"environments": ["production"]}),
    ],
)
def test_routes_that_would_overwrite_each_others_statuses_are_refused(
    one: dict[str, Any], other: dict[str, Any], tmp_path: Path
) -> None:
    said = refusal(tmp_path, routes=[route(**one), {**RUNNING, **other}])
    assert (
        "'pull-requests' and 'two' would overwrite each other's statuses: both write 'fluxtrail/{{ environment }}'"
        in said
    )
    assert "such as two/{{ environment }}" in said


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"context": "running/{{ environment }}"}),
        ({}, {"to": "gitlab_status"}),
        ({"commits": "source"}, {"commits": "manifests"}),
        ({"repositories": ["github.com/acme/*"]}, {"repositories": ["github.com/other/*"]}),
        ({"environments": ["prod*"]}, {"environments": ["staging"]}),
    ],
)
def test_routes_that_do_not_meet_may_write_statuses_of_one_name(
    one: dict[str, Any], other: dict[str, Any], tmp_path: Path
) -> None:
    assert len(load(tmp_path, routes=[route(**one), {**RUNNING, **other}]).routes) == 2
