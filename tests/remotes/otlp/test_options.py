"""What wins where, in which unit, and how a value that cannot be read is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.otlp.options import LONGEST_TIMEOUT_SECONDS, OtlpOptions, Protocol
from fluxtrail.remotes.otlp.resource import resource_attributes
from fluxtrail.remotes.otlp.variables import LONGEST_VALUE, Variable, parse_headers, parse_pairs

GENERAL = "OTEL_EXPORTER_OTLP_"
HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


def read(environ: dict[str, str] | None = None, **ours: Any) -> OtlpOptions:
    return OtlpOptions.from_environ(environ or {}, **ours)


def test_without_anything_it_is_the_replaced_tools_default() -> None:
    options = read()
    for signal in (options.traces, options.logs, options.metrics):
        assert signal.protocol is Protocol.GRPC
        assert (signal.endpoint.address, signal.endpoint.is_secure) == ("localhost:4317", False)
        assert (signal.timeout_seconds, signal.is_compressed, signal.headers) == (10.0, False, ())
        assert signal.is_enabled
        assert signal.request_limit_bytes == 4 * 1024 * 1024
    assert not options.is_disabled
    assert options.warnings == ()


def test_over_http_the_default_is_its_own_port() -> None:
    options = read(HTTP)
    assert options.traces.endpoint.address == "http://localhost:4318/v1/traces"
    assert options.logs.endpoint.address == "http://localhost:4318/v1/logs"
    assert options.metrics.endpoint.address == "http://localhost:4318/v1/metrics"
    assert options.metrics.request_limit_bytes == 20 * 1024 * 1024


GRPC_ENDPOINTS = [
    # endpoint by variable, INSECURE by variable, our insecure, target, is_secure
    ("http://collector:4317", None, None, "collector:4317", False),
    ("https://collector:4317", None, None, "collector:4317", True),
    ("HTTPS://Collector:4317", None, None, "collector:4317", True),
    ("https://collector", None, None, "collector:443", True),
    ("http://collector", None, None, "collector:80", False),
    ("http://collector:4317/ignored", None, None, "collector:4317", False),
    ("https://[::1]:4317", None, None, "[::1]:4317", True),
    ("[::1]:4317", "true", None, "[::1]:4317", False),
    ("collector:4317", None, None, "collector:4317", True),
    ("collector:4317", "false", None, "collector:4317", True),
    ("collector:4317", "TRUE", None, "collector:4317", False),
    ("collector:4317", "true", False, "collector:4317", True),
    ("collector:4317", "false", True, "collector:4317", False),
    ("collector", "true", None, "collector:4317", False),
    ("https://collector:4317", "true", None, "collector:4317", True),
    ("https://collector:4317", None, True, "collector:4317", True),
    ("http://collector:4317", "false", None, "collector:4317", False),
    ("dns:///collector:4317", "true", None, "dns:///collector:4317", False),
    ("unix:/run/otlp.sock", "true", None, "unix:/run/otlp.sock", False),
]


@pytest.mark.parametrize(("endpoint", "stated", "ours", "target", "is_secure"), GRPC_ENDPOINTS)
def test_a_grpc_endpoint(endpoint: str, stated: str | None, ours: bool | None, target: str, is_secure: bool) -> None:
    environ = {f"{GENERAL}ENDPOINT": endpoint, **({f"{GENERAL}INSECURE": stated} if stated else {})}
    found = read(environ, insecure=ours).logs.endpoint
    assert (found.address, found.is_secure) == (target, is_secure)


@pytest.mark.parametrize(
    ("general", "own", "ours", "expected"),
    [
        ("http://a:4318", None, None, "http://a:4318/v1/traces"),
        ("http://a:4318/", None, None, "http://a:4318/v1/traces"),
        ("https://a/otlp", None, None, "https://a/otlp/v1/traces"),
        ("https://a/otlp/", None, None, "https://a/otlp/v1/traces"),
        ("https://a/otlp?key=1", None, None, "https://a/otlp/v1/traces?key=1"),
        ("http://a:4318", "http://b/mine", None, "http://b/mine"),
        ("http://a:4318", "http://b/v1/traces/", None, "http://b/v1/traces/"),
        (None, "http://b:4318", None, "http://b:4318/"),
        ("http://a:4318", "http://b/mine", "https://c/base", "https://c/base/v1/traces"),
        (None, None, "c:4318", "http://c:4318/v1/traces"),
        (None, None, "c", "http://c:4318/v1/traces"),
    ],
)
def test_an_http_endpoint(general: str | None, own: str | None, ours: str | None, expected: str) -> None:
    stated = {f"{GENERAL}ENDPOINT": general, f"{GENERAL}TRACES_ENDPOINT": own}
    environ = HTTP | {name: value for name, value in stated.items() if value}
    assert read(environ, endpoint=ours).traces.endpoint.address == expected


def test_our_own_endpoint_without_a_scheme_is_secured_as_our_setting_says() -> None:
    assert read(HTTP, endpoint="c:4318", insecure=False).logs.endpoint.address == "https://c:4318/v1/logs"
    assert read({}, endpoint="c:4317", insecure=False).logs.endpoint.is_secure
    assert not read({}, endpoint="c:4317").logs.endpoint.is_secure
    assert read({f"{GENERAL}INSECURE": "false"}, endpoint="c:4317").logs.endpoint.is_secure


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
@pytest.mark.parametrize(
    ("option", "general", "own", "attribute", "from_general", "from_own"),
    [
        ("PROTOCOL", "http/protobuf", "grpc", "protocol", Protocol.HTTP, Protocol.GRPC),
        ("HEADERS", "a=1,b=2", "c=3", "headers", (("a", "1"), ("b", "2")), (("c", "3"),)),
        ("TIMEOUT", "1500", "250", "timeout_seconds", 1.5, 0.25),
        ("COMPRESSION", "gzip", "none", "is_compressed", True, False),
    ],
)
def test_a_signals_own_variable_replaces_the_general_one(
    signal: str, option: str, general: str, own: str, attribute: str, from_general: object, from_own: object
) -> None:
    environ = {f"{GENERAL}{option}": general, f"{GENERAL}{signal.upper()}_{option}": own}
    options = read(environ)
    for name in ("traces", "logs", "metrics"):
        found = getattr(getattr(options, name), attribute)
        assert found == (from_own if name == signal else from_general)


def test_certificates_by_signal() -> None:
    environ = {
        f"{GENERAL}ENDPOINT": "https://collector:4317",
        f"{GENERAL}CERTIFICATE": "/ca.pem",
        f"{GENERAL}LOGS_CERTIFICATE": "/logs-ca.pem",
        f"{GENERAL}CLIENT_CERTIFICATE": "/me.crt",
        f"{GENERAL}CLIENT_KEY": "/me.key",
    }
    options = read(environ)
    assert options.traces.tls.authority == Variable(f"{GENERAL}CERTIFICATE", "/ca.pem")
    assert options.logs.tls.authority == Variable(f"{GENERAL}LOGS_CERTIFICATE", "/logs-ca.pem")
    assert options.logs.tls.key == Variable(f"{GENERAL}CLIENT_KEY", "/me.key")
    assert options.warnings == ()


def test_a_certificate_for_an_unsecured_connection_is_warned_of_once() -> None:
    options = read({f"{GENERAL}CERTIFICATE": "/ca.pem"})
    assert options.traces.tls.authority is None
    assert options.warnings == (
        "OTEL_EXPORTER_OTLP_CERTIFICATE has no effect: localhost:4317 is not secured; use https://",
    )


@pytest.mark.parametrize(("stated", "seconds"), [("0", LONGEST_TIMEOUT_SECONDS), ("9" * 12, LONGEST_TIMEOUT_SECONDS)])
def test_no_limit_is_the_longest_one(stated: str, seconds: float) -> None:
    assert read({f"{GENERAL}TIMEOUT": stated}).traces.timeout_seconds == seconds


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (f"{GENERAL}ENDPOINT", "ftp://collector", "not an http"),
        (f"{GENERAL}ENDPOINT", "http://", "not an http"),
        (f"{GENERAL}ENDPOINT", "http://collector:99999", "not an http"),
        (f"{GENERAL}ENDPOINT", "collector:0", "not host:port"),
        (f"{GENERAL}ENDPOINT", "collector:4317/v1", "not host:port"),
        (f"{GENERAL}ENDPOINT", "a b", "not host:port"),
        (f"{GENERAL}TRACES_PROTOCOL", "http/json", "must be one of grpc, http/protobuf"),
        (f"{GENERAL}TIMEOUT", "10s", "milliseconds"),
        (f"{GENERAL}LOGS_TIMEOUT", "-1", "milliseconds"),
        (f"{GENERAL}COMPRESSION", "zstd", "must be one of gzip, none"),
        (f"{GENERAL}INSECURE", "yes", "must be true or false"),
        (f"{GENERAL}METRICS_TEMPORALITY_PREFERENCE", "sums", "must be one of cumulative"),
        (f"{GENERAL}METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "buckets", "must be one of explicit"),
        ("OTEL_SDK_DISABLED", "1", "must be true or false"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "above 0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0", "above 0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s", "milliseconds"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_and_value(name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        read({name: value})
    assert caught.value.subject == name
    assert repr(value) in str(caught.value)


def test_an_address_that_cannot_be_cleared_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="not an http"):
        read({f"{GENERAL}ENDPOINT": "http://[::1"})


def test_over_http_an_endpoint_of_the_environment_needs_its_scheme() -> None:
    with pytest.raises(ConfigError, match="must begin with http"):
        read(HTTP | {f"{GENERAL}ENDPOINT": "collector:4318"})


@pytest.mark.parametrize("environ", [{}, HTTP])
def test_a_login_in_an_endpoint_is_refused_and_not_shown(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="must not hold a login") as caught:
        read(environ | {f"{GENERAL}ENDPOINT": "https://me:hunter2@collector"})
    assert "hunter2" not in str(caught.value)


def test_a_plain_endpoint_and_our_wish_for_security_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="telemetry.insecure is false"):
        read({}, endpoint="http://collector:4317", insecure=False)


@pytest.mark.parametrize("present", ["CLIENT_CERTIFICATE", "CLIENT_KEY"])
def test_a_certificate_needs_its_key(present: str) -> None:
    with pytest.raises(ConfigError, match="go together") as caught:
        read({f"{GENERAL}{present}": "/x.pem"})
    assert caught.value.subject == f"{GENERAL}{present}"


@pytest.mark.parametrize(
    ("stated", "headers"),
    [
        ("a=1", {"a": "1"}),
        (" A = 1 , b=2,", {"a": "1", "b": "2"}),
        ("a=x%20y%2Cz%3D", {"a": "x y,z="}),
        ("a=b=c==", {"a": "b=c=="}),
        ("authorization=Basic dXNlcjpwYXNz", {"authorization": "Basic dXNlcjpwYXNz"}),
        ("a=1,a=2", {"a": "2"}),
        ("a=", {"a": ""}),
        ("a=100%", {"a": "100%"}),
        ("a=1;p=2", {"a": "1;p=2"}),
        ("%61=1", {"a": "1"}),
    ],
)
def test_headers_are_decoded(stated: str, headers: dict[str, str]) -> None:
    assert dict(parse_headers(Variable("H", stated))) == headers


@pytest.mark.parametrize(
    "stated",
    [
        "s3cret",
        "a=1,s3cret",
        "=s3cret",
        "a b=s3cret",
        "a=s3cret%0d%0ax: y",
        "a=s3cret%00",
        "a=s3cret%ff",
        "a=s3cret%C3%A9",
        "content-type=s3cret",
        "Host=s3cret",
        "grpc-timeout=s3cret",
    ],
)
def test_headers_that_cannot_be_sent_are_refused_without_showing_them(stated: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({f"{GENERAL}TRACES_HEADERS": stated})
    assert caught.value.subject == f"{GENERAL}TRACES_HEADERS"
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None or "s3cret" not in repr(caught.value.__cause__.args[2:])


@given(st.text(max_size=200))
def test_any_headers_are_read_or_refused(stated: str) -> None:
    try:
        found = parse_headers(Variable("H", stated))
    except ConfigError:
        return
    assert all(name == name.lower() and value.isprintable() for name, value in found)


@given(st.dictionaries(st.text("ab.-_", min_size=1), st.text(), max_size=5))
def test_pairs_that_are_encoded_come_back(pairs: dict[str, str]) -> None:
    stated = ",".join(f"{key}={quote(value, safe='')}" for key, value in pairs.items())
    assert parse_pairs(Variable("H", stated), is_secret=False) == pairs


@given(st.text(max_size=60), st.sampled_from(list(Protocol)))
def test_any_endpoint_is_read_or_refused(stated: str, protocol: Protocol) -> None:
    environ = {f"{GENERAL}ENDPOINT": stated, f"{GENERAL}PROTOCOL": protocol.value}
    with suppress(ConfigError):
        assert read(environ).traces.endpoint.address


def test_an_endless_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="longer than"):
        read({f"{GENERAL}HEADERS": "a=" + "x" * LONGEST_VALUE})


def test_an_empty_variable_counts_as_not_set() -> None:
    names = ("ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "COMPRESSION", "CERTIFICATE", "INSECURE")
    environ = {f"{GENERAL}{infix}{name}": " " for name in names for infix in ("", "TRACES_")}
    assert read(environ) == read()


def test_pace_and_what_has_no_effect() -> None:
    options = read(
        {
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64",
            "OTEL_BLRP_SCHEDULE_DELAY": "500",
            "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "32",
            "OTEL_METRIC_EXPORT_INTERVAL": "15000",
            f"{GENERAL}METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
            f"{GENERAL}METRICS_TEMPORALITY_PREFERENCE": "Delta",
            "OTEL_BSP_MAX_QUEUE_SIZE": "10",
            "OTEL_TRACES_SAMPLER": "traceidratio",
        }
    )
    assert (options.pace.traces_delay_seconds, options.pace.traces_batch) == (0.25, 64)
    assert (options.pace.logs_delay_seconds, options.pace.logs_batch) == (0.5, 32)
    assert (options.pace.metrics_interval_seconds, options.pace.is_exponential) == (15.0, True)
    assert [warning.partition(" ")[0] for warning in options.warnings] == [
        f"{GENERAL}METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_TRACES_SAMPLER",
    ]


def test_the_usual_choices_are_no_reason_to_warn() -> None:
    environ = {"OTEL_TRACES_SAMPLER": "parentbased_always_on", f"{GENERAL}METRICS_TEMPORALITY_PREFERENCE": "cumulative"}
    assert read(environ).warnings == ()


def test_telemetry_can_be_turned_off_whole_or_by_signal() -> None:
    assert read({"OTEL_SDK_DISABLED": "True"}).is_disabled
    options = read(
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "console,otlp", "OTEL_TRACES_EXPORTER": "zipkin"}
    )
    assert (options.metrics.is_enabled, options.logs.is_enabled, options.traces.is_enabled) == (False, True, False)
    assert options.warnings == ("OTEL_TRACES_EXPORTER does not name otlp: traces are not sent",)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {"service.name": "fluxtrail", "service.version": "1"}),
        ({"OTEL_SERVICE_NAME": "mine"}, {"service.name": "mine", "service.version": "1"}),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs, team=a%20b,k8s.cluster.name=eu"},
            {"service.name": "theirs", "service.version": "1", "team": "a b", "k8s.cluster.name": "eu"},
        ),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs", "OTEL_SERVICE_NAME": "mine"},
            {"service.name": "mine", "service.version": "1"},
        ),
    ],
)
def test_resource_attributes(environ: dict[str, str], expected: dict[str, str]) -> None:
    assert resource_attributes(environ, {"service.name": "fluxtrail", "service.version": "1"}) == expected


def test_resource_attributes_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ConfigError, match="not key=value") as caught:
        resource_attributes({"OTEL_RESOURCE_ATTRIBUTES": "team"}, {})
    assert caught.value.subject == "OTEL_RESOURCE_ATTRIBUTES"
