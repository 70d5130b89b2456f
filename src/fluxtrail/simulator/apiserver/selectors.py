"""Label and field selectors, parsed as the API server does.

Source: kubernetes.io "Labels and Selectors" and "Field Selectors"; grammar of k8s.io/apimachinery `labels`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.simulator.apiserver.statuses import bad_request

Labels = Mapping[str, str]
Fields = Mapping[str, Any]
LabelTest = Callable[[Labels], bool]

_KEY = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"^({_KEY})\s*(==|=|!=)\s*({_VALUE})$")
_SET = re.compile(rf"^({_KEY})\s+(in|notin)\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)$")
_EXISTS = re.compile(rf"^(!?)\s*({_KEY})$")
_ORDER = re.compile(rf"^({_KEY})\s*([<>])\s*(-?\d+)$")


def parse_label_selector(text: str) -> LabelTest | None:
    """Return the test of a selector's labels; None when the selector selects everything.

    Raises:
        StatusError: 400, the text is not a selector.
    """
    tests = [_parse_requirement(part.strip()) for part in _split_outside_brackets(text)] if text.strip() else []
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


def _parse_requirement(text: str) -> LabelTest:
    if match := _EQUALITY.match(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _SET.match(text):
        key, operator, listing = match.groups()
        values = frozenset(value.strip() for value in listing.split(","))
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _ORDER.match(text):
        return _order_test(*match.groups())
    if match := _EXISTS.match(text):
        negated, key = match.groups()
        return (lambda labels: key not in labels) if negated else (lambda labels: key in labels)
    raise bad_request(f"unable to parse requirement: found '{text[:100]}', which is no requirement on a label")


def _order_test(key: str, operator: str, bound_text: str) -> LabelTest:
    bound = int(bound_text)

    def test(labels: Labels) -> bool:
        value = labels.get(key, "")
        if not re.fullmatch(r"-?\d+", value):
            return False
        return int(value) > bound if operator == ">" else int(value) < bound

    return test


def _split_outside_brackets(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts


FieldTest = Callable[[str, str, Callable[[], Fields]], bool]
"""(namespace, name, the object on demand) -> selected."""


def parse_field_selector(text: str, *, namespaced: bool, selectable: tuple[str, ...] = ()) -> FieldTest | None:
    """Return the test of a field selector on an object; None when it selects everything.

    Args:
        selectable: fields of the kind that it may select by, beside its name and namespace.

    Raises:
        StatusError: 400, another field, or no selector at all.
    """
    if not text:
        return None
    places = ("metadata.name", *(("metadata.namespace",) if namespaced else ()))
    requirements = [_parse_field(part, (*places, *selectable)) for part in text.split(",") if part]
    is_inside = any(field not in places for field, _, _ in requirements)

    def test(namespace: str, name: str, load: Callable[[], Fields]) -> bool:
        fields = {"metadata.name": name, "metadata.namespace": namespace}
        if is_inside:
            found = load()
            fields |= {field: _read_field(found, field) for field in selectable}
        return all((fields[field] == value) is equal for field, equal, value in requirements)

    return test


def _read_field(obj: Fields, path: str) -> str:
    found: Any = obj
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "" if found is None else str(found)


def _parse_field(text: str, known: tuple[str, ...]) -> tuple[str, bool, str]:
    match = re.match(r"^([^=!]+)(==|=|!=)(.*)$", text)
    if match is None:
        raise bad_request(f"invalid selector: '{text[:100]}'; can't understand '{text[:100]}'")
    field, operator, value = match.groups()
    if field not in known:
        raise bad_request(f"field label not supported: {field[:100]}")
    return field, operator != "!=", value
