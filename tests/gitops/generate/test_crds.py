from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fluxtrail.gitops.generate.crds import Schemas
from fluxtrail.model.errors import ConfigError

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.io}
spec:
  group: example.io
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec:
            type: object
            required: [interval]
            properties:
              interval: {type: string, pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$'}
              mode: {type: string, enum: [one, two]}
              port: {x-kubernetes-int-or-string: true}
              note: {type: string, nullable: true}
              labels: {type: object, additionalProperties: {type: string}}
              values: {x-kubernetes-preserve-unknown-fields: true}
              items: {type: array, maxItems: 2, items: {type: object, properties: {name: {type: string}}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
  - name: v1beta1
    served: false
    storage: false
    schema: {openAPIV3Schema: {type: object}}
"""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    folder = tmp_path_factory.mktemp("crds")
    (folder / "things.yaml").write_text(CRD, encoding="utf-8")
    (folder / "values.yaml").write_text("not: an object\n", encoding="utf-8")
    return Schemas(folder)


def thing(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.io/v1",
        "kind": "Thing",
        "metadata": {"name": "a", "labels": {"any": "thing"}},
        "spec": {"interval": "5m0s", **spec},
    }


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"mode": "two", "port": 80, "note": None, "labels": {"a": "b"}},
        {"port": "http"},
        {"values": {"any": [1, {"thing": None}]}},
        {"items": [{"name": "a"}, {}]},
    ],
)
def test_what_a_server_takes_is_no_problem(schemas: Schemas, spec: dict[str, Any]) -> None:
    assert schemas.problems(thing(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"interval": "5 min"}, 'spec.interval: "5 min" does not match'),
        ({"interval": 5}, 'spec.interval: 5 is not of type "string"'),
        ({"mode": "three"}, "spec.mode: "),
        ({"port": 1.5}, "spec.port: "),
        ({"labels": {"a": 1}}, "spec.labels.a: "),
        ({"intervall": "5m"}, "'intervall' was unexpected"),
        ({"items": [{"nam": "a"}]}, "spec.items.0: "),
        ({"items": [{}, {}, {}]}, "spec.items: "),
    ],
)
def test_what_a_server_refuses_is_told_with_its_field(schemas: Schemas, spec: dict[str, Any], said: str) -> None:
    (problem,) = schemas.problems(thing(**spec))
    assert said in problem


def test_every_problem_of_an_object_is_told(schemas: Schemas) -> None:
    assert len(schemas.problems(thing(interval=5, mode="x", intervall=1))) == 3


def test_a_version_that_is_not_served_is_told_with_those_that_are(schemas: Schemas) -> None:
    (problem,) = schemas.problems({**thing(), "apiVersion": "example.io/v1beta1"})
    assert problem == "no schema of Thing in example.io/v1beta1; served are example.io/v1"


def test_a_kind_without_crd_is_told(schemas: Schemas) -> None:
    (problem,) = schemas.problems({**thing(), "kind": "Other"})
    assert problem == "no schema of Other in example.io/v1; add its CRD"


def test_without_the_library_its_extra_is_named(
    schemas: Schemas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "things.yaml").write_text(CRD, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(ConfigError, match=r"install fluxtrail\[crds\]"):
        Schemas(tmp_path / "things.yaml").problems(thing())


def test_a_folder_without_crds_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no CustomResourceDefinition"):
        Schemas(tmp_path)
