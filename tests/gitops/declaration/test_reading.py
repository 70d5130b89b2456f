from __future__ import annotations

from pathlib import Path

import pytest

from fluxtrail.gitops.declaration.declaration import Declaration, Key
from fluxtrail.gitops.declaration.reading import parse_declaration, read_declaration
from fluxtrail.model.errors import ConfigError

SOURCE = "sources: {git: {fleet: {url: 'https://git.example/fleet', branch: main}}}\n"


def parse(text: str) -> Declaration:
    return parse_declaration(text, path=Path("gitops.yaml"))


def entry(text: str, section: str, key: str, environment: int = 0) -> dict[str, object]:
    namespace, _, name = key.partition("/")
    found = parse(text).environments[environment].sections[section][Key(namespace, name)]
    return {field: getattr(found, field) for field in found.__struct_fields__}


def test_an_entry_has_what_defaults_say_and_it_does_not() -> None:
    text = SOURCE + (
        "defaults:\n  namespace: flux\n  interval: 5m\n  prune: true\n  labels: {team: a}\n"
        "  kustomizations: {source: fleet, interval: 10m, path: 'deploy/{name}', spec: {force: true}}\n"
        "kustomizations:\n  apps:\n  infra: {prune: false, interval: 90s, labels: {tier: b}, spec: {wait: null}}\n"
    )
    apps, infra = (entry(text, "kustomizations", f"flux/{name}") for name in ("apps", "infra"))
    assert (apps["source"], apps["interval"], apps["path"], apps["prune"]) == ("fleet", "10m0s", "deploy/apps", True)
    assert (infra["interval"], infra["prune"], infra["labels"]) == ("1m30s", False, {"team": "a", "tier": "b"})
    assert infra["spec"] == {"force": True, "wait": None}
    assert entry(text, "git", "flux/fleet")["interval"] == "5m0s"


def test_a_list_of_names_is_enough() -> None:
    found = parse(SOURCE + "defaults: {kustomizations: {source: fleet}}\nkustomizations: [b, other/a]\n")
    assert list(found.environments[0].sections["kustomizations"]) == [Key("flux-system", "b"), Key("other", "a")]


def test_the_default_branch_is_for_sources_without_another_reference() -> None:
    text = "defaults: {branch: main}\nsources: {git: {a: {url: 'https://x/a'}, b: {url: 'https://x/b', tag: v1}}}\n"
    assert entry(text, "git", "flux-system/a")["branch"] == "main"
    assert entry(text, "git", "flux-system/b")["branch"] is None


def test_an_environment_is_the_base_with_changes() -> None:
    text = SOURCE + (
        "output: flux\ndefaults: {kustomizations: {source: fleet, path: '{environment}/{name}'}}\n"
        "kustomizations: [apps, canary-only]\n"
        "environments:\n"
        "  prod: {kustomizations: {canary-only: null, extra: {prune: true}}, output: prod/here}\n"
        "  canary: {sources: {git: {fleet: {branch: canary}}}, defaults: {interval: 2m}}\n"
    )
    canary, prod = parse(text).environments
    assert (canary.name, canary.output, prod.name, prod.output) == ("canary", "flux/canary", "prod", "prod/here")
    assert [str(key) for key in prod.sections["kustomizations"]] == ["flux-system/apps", "flux-system/extra"]
    assert entry(text, "git", "flux-system/fleet", 0)["branch"] == "canary"
    assert entry(text, "git", "flux-system/fleet", 1)["branch"] == "main"
    assert entry(text, "kustomizations", "flux-system/apps", 0)["interval"] == "2m0s"
    assert entry(text, "kustomizations", "flux-system/apps", 1)["path"] == "prod/apps"


def test_null_in_values_is_kept_also_through_an_environment() -> None:
    text = (
        "sources: {helm: {charts: {url: 'https://x/c'}}}\n"
        "releases: {web: {namespace: web, chart: web, source: charts, values: {a: {b: 1, c: 2}}}}\n"
        "environments: {prod: {releases: {web: {values: {a: {b: null}}}}}}\n"
    )
    assert entry(text, "releases", "web/web")["values"] == {"a": {"b": None, "c": 2}}


WRONG = {
    "unknown-section": ("kustomisations: {}\n", "has no field 'kustomisations'; did you mean kustomizations?"),
    "unknown-field": (
        SOURCE + "kustomizations: {apps: {source: fleet, prun: true}}\n",
        "kustomizations.apps: has no field 'prun'; did you mean prune?",
    ),
    "unknown-default": (
        "defaults: {kustomizations: {pat: x}}\n",
        "kustomizations: has no field 'pat'; did you mean path?",
    ),
    "unknown-kind": ("sources: {gti: {}}\n", "sources: has no field 'gti'; did you mean git?"),
    "missing": ("sources: {git: {a: {branch: main}}}\n", "sources.git.a: has no url; add `url: …`"),
    "type": (
        "sources: {git: {a: {url: 'https://x/a', tag: 1.0}}}\n",
        "sources.git.a.tag: Expected str | null, got float (given: 1.0); quote it",
    ),
    "duration": (
        SOURCE + "kustomizations: {apps: {source: fleet, interval: 5}}\n",
        "kustomizations.apps.interval: Expected str | null, got int (given: 5)",
    ),
    "no-duration": (
        SOURCE + "kustomizations: {apps: {source: fleet, interval: 5 min}}\n",
        "kustomizations.apps.interval: '5 min' is no duration; write it as 30s, 5m or 1h30m",
    ),
    "source": (
        SOURCE + "kustomizations: {apps: {source: flet}}\n",
        "kustomizations.apps.source: 'flet' is no declared source; did you mean fleet?",
    ),
    "source-kind": (
        "sources: {helm: {charts: {url: 'https://x/c'}}}\nkustomizations: {apps: {source: charts}}\n",
        "apps.source: 'charts' is a HelmRepository; it takes one of GitRepository, OCIRepository, Bucket",
    ),
    "ambiguous": (
        """
sources: {git: {a: {url: 'https://x/a', tag: v1}}, oci: {a: {url: 'oci://x/a', tag: v1}}}
kustomizations: {apps: {source: a}}
""",
        "'a' is declared more than once; write one of GitRepository/a.flux-system, OCIRepository/a.flux-system",
    ),
    "explicit-kind": (
        "kustomizations: {apps: {source: Deployment/a}}\n",
        "'Deployment/a' is of no fitting kind; use GitRepository, OCIRepository, Bucket, ExternalArtifact",
    ),
    "dependency": (
        SOURCE + "kustomizations: {apps: {source: fleet, depends_on: [infra]}}\n",
        "kustomizations.apps.depends_on: 'infra' is not declared",
    ),
    "circle": (
        SOURCE + "defaults: {kustomizations: {source: fleet}}\n"
        "kustomizations: {a: {depends_on: [b]}, b: {depends_on: [c]}, c: {depends_on: [a]}}\n",
        "waits for itself: a → b → c → a; take one of these dependencies away",
    ),
    "itself": (
        SOURCE + "kustomizations: {a: {source: fleet, depends_on: [a]}}\n",
        "kustomizations.a.depends_on: waits for itself: a → a",
    ),
    "no-namespace": (
        "releases: {web: {chart: x, source: HelmRepository/x.y}}\n",
        "releases.web: has no namespace; a release is in that of its manifests",
    ),
    "name": (SOURCE + "kustomizations: {Apps: {source: fleet}}\n", "kustomizations.Apps: 'Apps' is no object's name"),
    "namespace": (SOURCE + "defaults: {namespace: a.b}\n", "'a.b' is no namespace"),
    "twice": (
        SOURCE + "kustomizations: {a: {source: fleet}, flux-system/a: {source: fleet}}\n",
        "is declared twice as flux-system/a",
    ),
    "listed-twice": ("kustomizations: [a, a]\n", "kustomizations: lists 'a' twice"),
    "no-mapping": ("kustomizations: apps\n", "kustomizations: is no mapping but a str"),
    "no-environment": (
        SOURCE + "kustomizations: {a: {source: fleet, path: '{environment}/a'}}\n",
        "kustomizations.a.path: names {environment}, and the declaration has no environments",
    ),
    "in-an-environment": (
        SOURCE + "kustomizations: {a: {source: fleet}}\nenvironments: {prod: {kustomizations: {a: {wait: 'yes'}}}}\n",
        "environment prod: kustomizations.a.wait: Expected bool, got str (given: 'yes')",
    ),
    "environment-field": ("environments: {prod: {boilerplate: x}}\n", "environments.prod: has no field 'boilerplate'"),
    "output": ("output: /etc\n", "output: '/etc' is no folder; name one beside the declaration"),
    "boilerplate": ("boilerplate: a\nboilerplate_file: b\n", "boilerplate: excludes boilerplate_file"),
    "second-document": ("output: a\n---\noutput: b\n", "has a second document at line 3"),
    "key-twice": ("output: a\noutput: b\n", "line 2 has the key 'output' twice"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_field_value_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_declaration(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_declaration_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_declaration(tmp_path / "none.yaml")


def test_an_empty_declaration_has_nothing() -> None:
    (only,) = parse("").environments
    assert not any(only.sections.values())


def test_many_dependencies_are_checked_without_recursion() -> None:
    lines = [f"  k{n}: {{depends_on: [k{n + 1}]}}" for n in range(1500)]
    text = (
        SOURCE + "defaults: {kustomizations: {source: fleet}}\nkustomizations:\n" + "\n".join([*lines, "  k1500: {}"])
    )
    assert len(parse(text).environments[0].sections["kustomizations"]) == 1501
