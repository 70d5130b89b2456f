from __future__ import annotations

import pytest

from fluxtrail.gitops.declaration.goduration import find_duration


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("5m", "5m0s"),
        ("90s", "1m30s"),
        ("1h", "1h0m0s"),
        ("1h30m", "1h30m0s"),
        ("36h", "36h0m0s"),
        ("0.5h", "30m0s"),
        ("1.5s", "1.5s"),
        ("1.001s", "1.001s"),
        ("500ms", "500ms"),
        ("1500ms", "1.5s"),
        ("1h0m1s", "1h0m1s"),
        ("30m99s", "31m39s"),
        (".5s", "500ms"),
        ("5.s", "5s"),
        ("0s", "0s"),
    ],
)
def test_a_duration_has_go_s_form(text: str, form: str) -> None:
    assert find_duration(text) == form
    assert find_duration(form) == form


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "-5m", "5d", "5M", "m", "1.2.3s", "300000000h", "9" * 61, 5, None, "٥m"]
)
def test_what_is_none_is_none(text: object) -> None:
    assert find_duration(text) is None
