"""Where a setting comes from, and what is said about one that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.settings import REPLACED_NAMES, Settings, load_settings

REPLACED = [
    ("KUBE_CONTEXT", "prod", "kube_contexts", ("prod",), ()),
    ("METRICS_ADDR", ":1", "metrics.listen", ":1", ":8888"),
    ("HEALTH_ADDR", ":2", "health.listen", ":2", ":9440"),
    ("TELEMETRY_MODE", "otlp", "telemetry.mode", "otlp", "stdout-logs"),
    ("TELEMETRY_ENDPOINT", "collector:4317", "telemetry.endpoint", "collector:4317", "localhost:4317"),
    ("TELEMETRY_INSECURE", "false", "telemetry.insecure", False, True),
    ("LOG_LEVEL", "error", "log_level", "ERROR", "INFO"),
    ("RUNTIME_NAMESPACE", "flux-system", "runtime_namespace", "flux-system", None),
]
"""flux-commit-tracker's variables: name, a value, the setting, what it becomes, its default."""
MODES = ["stdout-logs", "stdout-all", "stdout-logs+otlp", "stdout-all+otlp", "otlp"]


def read(settings: Settings, dotted: str) -> Any:
    value: Any = settings
    for name in dotted.split("."):
        value = getattr(value, name)
    return value


def load(text: str = "", *, folder: Path | None = None, **flags: Any) -> Settings:
    path = None
    if folder is not None:
        path = folder / "fluxtrail.yaml"
        path.write_text(text)
    return load_settings(path=path, flags=flags)


def refusal(text: str = "", *, folder: Path | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, folder=folder, **flags)
    return str(caught.value)


# -- the replaced tool ------------------------------------------------------------------------------------------


def test_every_replaced_name_is_in_the_table_of_this_test() -> None:
    assert {name for name, *_ in REPLACED} == set(REPLACED_NAMES)


@pytest.mark.parametrize(("name", "text", "field", "value", "default"), REPLACED, ids=[row[0] for row in REPLACED])
def test_replaced_name_sets_its_setting_and_has_the_tools_default(
    name: str, text: str, field: str, value: Any, default: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(load(), field) == default
    monkeypatch.setenv(name, text)
    assert read(load(), field) == value


@pytest.mark.parametrize(("name", "text", "field", "value", "default"), REPLACED, ids=[row[0] for row in REPLACED])
def test_replaced_name_that_is_empty_is_not_set(
    name: str, text: str, field: str, value: Any, default: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    assert read(load(), field) == default


@pytest.mark.parametrize("mode", MODES)
def test_every_telemetry_mode_of_the_replaced_tool_is_taken(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMETRY_MODE", mode)
    assert load().telemetry.mode == mode


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("TRACE", "DEBUG"),
        ("trace", "DEBUG"),
        ("Debug", "DEBUG"),
        ("info", "INFO"),
        ("WARN", "WARNING"),
        ("wArN", "WARNING"),
        ("warning", "WARNING"),
        ("eRRor", "ERROR"),
    ],
)
def test_log_level_is_taken_in_any_letter_case(text: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", text)
    assert load().log_level == level


# -- who wins ---------------------------------------------------------------------------------------------------


def test_file_wins_over_default(tmp_path: Path) -> None:
    assert load("metrics: {listen: ':1'}", folder=tmp_path).metrics.listen == ":1"


def test_replaced_name_wins_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_ADDR", ":2")
    assert load("metrics: {listen: ':1'}", folder=tmp_path).metrics.listen == ":2"


def test_own_name_wins_over_replaced_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_ADDR", ":2")
    monkeypatch.setenv("FLUXTRAIL_METRICS__LISTEN", ":3")
    assert load("metrics: {listen: ':1'}", folder=tmp_path).metrics.listen == ":3"


def test_flag_wins_over_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_ADDR", ":2")
    monkeypatch.setenv("FLUXTRAIL_METRICS__LISTEN", ":3")
    found = load("metrics: {listen: ':1'}", folder=tmp_path, **{"metrics.listen": ":4"})
    assert found.metrics.listen == ":4"


def test_flag_that_is_not_given_leaves_the_rest_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_NAMESPACES", "apps")
    flags = {"metrics.listen": None, "namespaces": (), "log_level": None}
    found = load("metrics: {listen: ':1'}", folder=tmp_path, **flags)
    assert (found.metrics.listen, found.namespaces, found.log_level) == (":1", ("apps",), "INFO")


def test_each_place_may_set_its_part_of_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_GIT__POLL_SECONDS", "5")
    monkeypatch.setenv("FLUXTRAIL_LEDGER__PATH", "env.sqlite")
    found = load("ledger: {synchronous: full, path: file.sqlite}\ngit: {quota_bytes: 9999999}", folder=tmp_path)
    assert (found.ledger.synchronous, found.ledger.path) == ("full", Path("env.sqlite"))
    assert (found.git.quota_bytes, found.git.poll_seconds) == (9_999_999, 5.0)


@pytest.mark.parametrize("url", ["postgresql://ada:s3cret@db/trail?sslmode=require", "postgres://ada:s3cret@db/trail"])
def test_address_of_the_ledger_shows_its_password_to_nobody(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_LEDGER__PATH", url)
    found = load()
    assert found.ledger.where == url
    assert found.ledger.folder == Path.cwd()
    for shown in (repr(found), str(found.ledger), str(found.model_dump()), found.model_dump_json()):
        assert "s3cret" not in shown


def test_file_of_the_ledger_may_be_written_as_a_url(tmp_path: Path) -> None:
    assert load(f"ledger: {{path: 'sqlite:///{tmp_path}/x.sqlite'}}", folder=tmp_path).ledger.folder == tmp_path
    with pytest.raises(ConfigError, match="postgresql://user:password@host/database") as caught:
        load("ledger: {path: 'mysql://ada:s3cret@db/trail'}", folder=tmp_path)
    assert caught.value.subject == "setting ledger.path"
    assert "s3cret" not in str(caught.value)


def test_list_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_NAMESPACES", "c")
    assert load("namespaces: [a, b]", folder=tmp_path).namespaces == ("c",)
    assert load("namespaces: [a, b]", folder=tmp_path, namespaces=("d", "e")).namespaces == ("d", "e")


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_METRICS__LISTEN", "")
    monkeypatch.setenv("FLUXTRAIL_NAMESPACES", "")
    assert (load().metrics.listen, load().namespaces) == (":8888", ())


def test_empty_file_is_no_setting(tmp_path: Path) -> None:
    assert load("# nothing yet\n", folder=tmp_path).model_dump() == load().model_dump()


# -- lists in the environment -----------------------------------------------------------------------------------

LISTS = ["namespaces", "kube_contexts", "allow", "api.allowed_hosts"]


@pytest.mark.parametrize("field", LISTS)
@pytest.mark.parametrize("text", ["a,b", " a , b ,", '["a", "b"]', ' ["a","b"]'])
def test_list_of_names_is_taken_with_commas_and_as_json(field: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_" + field.upper().replace(".", "__"), text)
    assert read(load(), field) == ("a", "b")


def test_lists_and_mappings_of_other_things_are_taken_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://git.example.com/acme/shop"
    monkeypatch.setenv("FLUXTRAIL_REPOSITORIES", f'[{{"url": "{url}", "exports_to": ["{url}-manifests"]}}]')
    monkeypatch.setenv("FLUXTRAIL_CLUSTER_NAMES", '{"prod-eu": "eu"}')
    monkeypatch.setenv("FLUXTRAIL_CREDENTIALS", '[{"host": "git.example.com", "token": "t0ken"}]')
    found = load()
    assert found.repositories[0].exports_to == (f"{url}-manifests",)
    assert found.cluster_names == {"prod-eu": "eu"}
    assert found.credentials[0]["host"] == "git.example.com"


@pytest.mark.parametrize("field", LISTS)
def test_broken_json_in_a_list_of_names_names_the_setting(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_" + field.upper().replace(".", "__"), '["a"')
    said = refusal()
    assert field in said
    assert "JSON" in said
    assert '["a"' in said


def test_context_of_the_replaced_tool_is_one_name_whatever_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBE_CONTEXT", "team,prod")
    assert load().kube_contexts == ("team,prod",)


def test_contexts_are_followed_once_each() -> None:
    assert load(kube_contexts=("a", "b", "a")).contexts == ("a", "b")
    assert load().contexts == (None,)


# -- what cannot be used ----------------------------------------------------------------------------------------


def test_unknown_setting_is_named_with_the_known_ones(tmp_path: Path) -> None:
    said = refusal("metric: {listen: ':1'}", folder=tmp_path)
    assert "fluxtrail.yaml: metric" in said
    assert "there is no such setting" in said
    assert "metrics" in said


def test_unknown_setting_of_a_section_is_named_with_the_known_ones(tmp_path: Path) -> None:
    said = refusal("metrics: {lisen: ':1'}", folder=tmp_path)
    assert "metrics.lisen" in said
    assert "no such setting" in said
    assert "listen" in said


def test_unknown_field_of_a_repository_is_named(tmp_path: Path) -> None:
    said = refusal("repositories: [{url: 'https://h/o/r', brunch: main}]", folder=tmp_path)
    assert "repositories.0.brunch" in said
    assert "branch" in said


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("log_level: loud", ["log_level", "loud", "TRACE, DEBUG, INFO, WARN, ERROR"]),
        ("telemetry: {mode: everything}", ["telemetry.mode", "everything", "stdout-logs"]),
        ("git: {poll_seconds: 0}", ["git.poll_seconds", "0", "0.1"]),
        ("git: {poll_seconds: often}", ["git.poll_seconds", "often", "number"]),
        ("retention_days: 0", ["retention_days", "0", "greater than 0"]),
        ("ledger: {synchronous: maybe}", ["ledger.synchronous", "maybe", "full"]),
        ("git: {quota_bytes: 12}", ["git.quota_bytes", "12", "1048576"]),
        ("telemetry: {insecure: perhaps}", ["telemetry.insecure", "perhaps", "boolean"]),
        ("namespaces: 7", ["namespaces", "7", "tuple"]),
        ("metrics: ':8888'", ["metrics", ":8888", "dictionary"]),
        ("repositories: [{branch: main}]", ["repositories.0.url", "required"]),
    ],
)
def test_wrong_value_is_named_with_field_and_remedy(text: str, names: list[str], tmp_path: Path) -> None:
    said = refusal(text, folder=tmp_path)
    for name in names:
        assert name in said


def test_wrong_value_of_a_variable_is_named_like_that_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_LOG_LEVEL", "loud")
    assert "log_level" in refusal()
    assert "'loud'" in refusal()


def test_variable_that_is_not_json_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_REPOSITORIES", "https://h/o/r")
    said = refusal()
    assert "repositories" in said
    assert "JSON" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a\n- b\n", "a mapping of settings, not a list"), ("a: [", "is not YAML"), ("a: \udcff", "is not YAML")],
    ids=["list", "broken", "not UTF-8"],
)
def test_file_that_is_no_mapping_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "fluxtrail.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=said) as caught:
        load_settings(path=path, flags={})
    assert str(path) in str(caught.value)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(path=tmp_path / "absent.yaml", flags={})


SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"credentials: {SECRET}",
        f"credentials: [{SECRET}]",
        f"credentials: [[{SECRET}]]",
        f"github: {{token: {SECRET}}}",
        f"github: {{api_key: {SECRET}}}",
        f"api: {{token: {SECRET}}}",
        f"repositories: ['https://x:{SECRET}@h/o/r']",
        f"repositories: [{{url: 'https://x:{SECRET}@h/o/r', brunch: 1}}]",
        f"credentials: [{{host: h, token: {SECRET}",
    ],
)
def test_secret_is_never_in_the_error(text: str, tmp_path: Path) -> None:
    said = refusal(text, folder=tmp_path)
    assert SECRET not in said
    assert "hunter2" not in said


def test_secret_of_a_variable_is_never_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_CREDENTIALS", f"[{{token: {SECRET}")
    assert SECRET not in refusal()
