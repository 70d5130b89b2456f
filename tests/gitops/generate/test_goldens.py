"""What `flux create … --export` of Flux 2.9 prints for the same input, but for the head of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluxtrail.gitops.declaration.reading import parse_declaration
from fluxtrail.gitops.generate.files import generate, plan
from fluxtrail.model.errors import ConfigError

FOLDER = Path(__file__).parent / "golden"


def declare(section: str, name: str, **fields: Any) -> dict[str, Any]:
    entry = {name: fields}
    return {section: entry} if section in {"kustomizations", "releases"} else {"sources": {section: entry}}


def made(document: dict[str, Any], folder: Path = FOLDER) -> str:
    declaration = parse_declaration(json.dumps(document), path=folder / "gitops.yaml")
    (content,) = generate(declaration, plan(declaration)).values()
    return content.decode().split("DO NOT EDIT.\n")[1]


CASES: dict[str, dict[str, Any]] = {
    # flux create source git fleet --url=https://git.example/fleet --branch=main --interval=5m
    #   --ignore-paths='/*' --ignore-paths='!/infra/' --secret-ref=git --label=team=a,tier=1
    "git": declare(
        "git", "fleet", url="https://git.example/fleet", branch="main", interval="5m", ignore=["/*", "!/infra/"],
        secret="git", labels={"team": "a", "tier": "1"},
    ),
    # flux create source git pinned --url=ssh://git@git.example/x --commit=0123abc --branch=main --fetch-timeout=90s
    #   --recurse-submodules --sparse-checkout-paths=a,b --provider=github --proxy-secret-ref=proxy
    "git-commit": declare(
        "git", "pinned", url="ssh://git@git.example/x", commit="0123abc", branch="main", timeout="90s",
        recurse_submodules=True, sparse_checkout=["a", "b"], provider="github", proxy_secret="proxy",
    ),
    # flux create source helm charts --url=https://charts.example --secret-ref=charts --pass-credentials --interval=1h
    "helm": declare(
        "helm", "charts", url="https://charts.example", secret="charts", pass_credentials=True, interval="1h"
    ),
    # flux create source helm charts --url=oci://registry.example/charts --oci-provider=aws
    "helm-oci": declare("helm", "charts", url="oci://registry.example/charts", provider="aws"),
    # flux create source oci app --url=oci://registry.example/app --tag-semver='>=1.0.0 <2.0.0' --verify-provider=cosign
    #   --verify-issuer='^https://issuer$' --layer-selector=application/x:copy --insecure --cert-ref=ca
    #   --service-account=sa
    "oci": declare(
        "oci", "app", url="oci://registry.example/app", semver=">=1.0.0 <2.0.0", insecure=True, cert_secret="ca",
        verify={"provider": "cosign", "issuer": "^https://issuer$"}, layer_selector="application/x:copy",
        service_account="sa",
    ),
    # flux create source bucket data --bucket-name=123 --endpoint=s3.example --provider=aws --region=eu-1 --insecure
    "bucket": declare(
        "bucket", "data", bucket="123", endpoint="s3.example", provider="aws", region="eu-1", insecure=True
    ),
    # flux create kustomization apps --source=GitRepository/fleet.other --path=deploy//apps --prune --wait
    #   --depends-on=infra/base --retry-interval=2m --decryption-provider=sops --decryption-secret=age
    "kustomization": declare(
        "kustomizations", "apps", source="GitRepository/fleet.other", path="deploy//apps", prune=True, wait=True,
        depends_on=["infra/base"], retry_interval="2m", decryption={"provider": "sops", "secret": "age"},
    ),
    # flux create kustomization apps --source=Bucket/data --health-check=Deployment/web.shop
    #   --health-check=HelmRelease/db.shop --health-check-timeout=3m --target-namespace=shop --service-account=sa
    #   --kubeconfig-secret-ref=remote
    "kustomization-checks": declare(
        "kustomizations", "apps", source="Bucket/data", health_checks=["Deployment/web.shop", "HelmRelease/db.shop"],
        timeout="3m", target_namespace="shop", service_account="sa", kubeconfig_secret="remote",
    ),
    # flux create helmrelease web -n shop --chart=web --chart-version=1.10 --source=HelmRepository/charts.flux-system
    #   --values-from=ConfigMap/web --values-from=Secret/web --crds=CreateReplace --create-target-namespace
    #   --target-namespace=web --release-name=web --depends-on=shop/db --chart-interval=10m --interval=30m
    "release": declare(
        "releases", "shop/web", chart="web", version="1.10", source="HelmRepository/charts.flux-system",
        values_from=["ConfigMap/web", "secret/web"], crds="CreateReplace", create_namespace=True,
        target_namespace="web", release_name="web", depends_on=["shop/db"], chart_interval="10m", interval="30m",
    ),
    # flux create helmrelease web -n shop --chart-ref=OCIRepository/web.flux-system --values=one.yaml --values=two.yaml
    "release-values": declare(
        "releases", "shop/web", chart_ref="OCIRepository/web.flux-system", values_files=["one.yaml", "two.yaml"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_object_is_what_flux_exports(name: str) -> None:
    expected = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert made(CASES[name]) == expected


def test_a_source_in_the_same_namespace_is_named_alone_and_another_with_it() -> None:
    document = {
        "defaults": {"branch": "main"},
        "sources": {"git": {"fleet": {"url": "https://x/y"}}},
        "kustomizations": {"apps": {"source": "fleet"}, "tenants/apps": {"source": "fleet"}},
    }
    declaration = parse_declaration(json.dumps(document), path=FOLDER / "gitops.yaml")
    references = {each.data["metadata"]["namespace"]: each.data["spec"] for each in plan(declaration)[1:]}
    assert references["flux-system"]["sourceRef"] == {"kind": "GitRepository", "name": "fleet"}
    assert references["tenants"]["sourceRef"] == {"kind": "GitRepository", "name": "fleet", "namespace": "flux-system"}


def test_spec_lies_over_all_other_fields_and_null_takes_away() -> None:
    document = declare(
        "kustomizations", "apps", source="GitRepository/a", suspend=True,
        spec={"path": None, "prune": True, "postBuild": {"substitute": {"a": "1"}}},
    )  # fmt: skip
    text = made(document)
    assert "path:" not in text
    assert '  postBuild:\n    substitute:\n      a: "1"\n  prune: true\n' in text
    assert "  suspend: true\n" in text


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "references": (
        declare("git", "a", url="https://x/y", branch="b", tag="t"),
        "has branch and tag, of which Flux takes one",
    ),
    "no-reference": (declare("git", "a", url="https://x/y"), "has no reference; add branch, tag"),
    "scheme": (
        declare("git", "a", url="git@x:y", branch="b"),
        "'git@x:y' is no such address; use https://, http://, ssh://",
    ),
    "password": (declare("git", "a", url="https://u:geheim@x/y", branch="b"), "holds a password; put it into a Secret"),
    "oci": (declare("oci", "a", url="oci://x/y"), "needs one of tag, semver and digest"),
    "layer": (declare("oci", "a", url="oci://x/y", tag="1", layer_selector="x"), "'x' selects nothing"),
    "provider": (
        declare("helm", "a", url="https://x/y", provider="aws"),
        "a.provider: has a provider, which only oci:// has",
    ),
    "pass": (declare("helm", "a", url="https://x/y", pass_credentials=True), "needs a secret"),
    "wait": (
        declare("kustomizations", "a", source="GitRepository/a", wait=True, health_checks=["Deployment/a.b"]),
        "a.health_checks: are not looked at with wait",
    ),
    "check": (
        declare("kustomizations", "a", source="GitRepository/a", health_checks=["Pod/a.b"]),
        "'Pod/a.b' is of none of the kinds Deployment",
    ),
    "chart": (declare("releases", "a/b"), "needs either chart, with source, or chart_ref"),
    "chart-source": (declare("releases", "a/b", chart="c"), "has no source; name where its chart comes from"),
    "chart-ref": (declare("releases", "a/b", chart_ref="HelmChart/c", version="1"), "b.version: goes with chart"),
    "crds": (declare("releases", "a/b", chart_ref="HelmChart/c", crds="x"), "b.crds: 'x' is no policy"),
    "values": (declare("releases", "a/b", chart_ref="HelmChart/c", values_from=["x"]), "'x' holds no values"),
    "values-file": (
        declare("releases", "a/b", chart_ref="HelmChart/c", values_files=["no.yaml"]),
        "no.yaml: cannot be read",
    ),
    "file": (declare("releases", "a/b", chart_ref="HelmChart/c", file="../x.yaml"), "b.file: '../x.yaml' leads out"),
    "suffix": (declare("releases", "a/b", chart_ref="HelmChart/c", file="x.txt"), "'x.txt' is no YAML file"),
    "folder": (declare("releases", "a/b", chart_ref="HelmChart/c", folder="/etc"), "b.folder: '/etc' leads out"),
}


@pytest.mark.parametrize(("document", "said"), WRONG.values(), ids=WRONG)
def test_what_flux_would_not_take_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(document)
    assert said in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_two_objects_share_a_file_only_where_both_name_it() -> None:
    shared = {"source": "GitRepository/a", "file": "all.yaml"}
    assert made({"kustomizations": {"b": shared, "a": shared}}).count("---\n") == 2
    with pytest.raises(ConfigError, match=r"goes into all/flux-ks-a.yaml, as another one does"):
        made(
            {
                "defaults": {"kustomizations": {"source": "GitRepository/a", "folder": "all"}},
                "kustomizations": ["x/a", "y/a"],
            }
        )
