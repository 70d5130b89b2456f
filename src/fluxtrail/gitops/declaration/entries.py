"""What a declaration says of each object, in the words of `flux create`'s flags; what these do not cover is `spec`."""

from typing import Any

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every object can have.

    Args:
        interval: how often it is reconciled, as `5m`; likewise `timeout`.
        folder: where its file is, below the output; the object's namespace by default.
        file: its file, below the output; objects may share one.
        spec: merged over what the other fields make of the object's spec; null takes a field away (RFC 7386).
    """

    namespace: str | None = None
    interval: str | None = None
    timeout: str | None = None
    suspend: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    folder: str | None = None
    file: str | None = None
    spec: dict[str, Any] = {}


class GitSource(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GitRepository: a branch, or one of the other references."""

    url: str
    branch: str | None = None
    tag: str | None = None
    semver: str | None = None
    ref_name: str | None = None
    commit: str | None = None
    secret: str | None = None
    proxy_secret: str | None = None
    provider: str | None = None
    ignore: list[str] | str = []
    sparse_checkout: list[str] = []
    recurse_submodules: bool = False


class HelmSource(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A HelmRepository; of charts in a registry where the address begins with `oci://`."""

    url: str
    secret: str | None = None
    provider: str | None = None
    pass_credentials: bool = False


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str
    secret: str | None = None
    issuer: str | None = None
    subject: str | None = None


class OciSource(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OCIRepository: one of tag, semver and digest.

    Args:
        layer_selector: `<media type>:<extract or copy>`.
    """

    url: str
    tag: str | None = None
    semver: str | None = None
    digest: str | None = None
    provider: str = "generic"
    insecure: bool = False
    secret: str | None = None
    proxy_secret: str | None = None
    cert_secret: str | None = None
    service_account: str | None = None
    ignore: list[str] | str = []
    layer_selector: str | None = None
    verify: Verification | None = None


class BucketSource(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    bucket: str
    endpoint: str
    provider: str = "generic"
    region: str | None = None
    insecure: bool = False
    secret: str | None = None
    proxy_secret: str | None = None
    ignore: list[str] | str = []


class Decryption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str = "sops"
    secret: str | None = None


class Kustomization(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Kustomization.

    Args:
        source: a declared source's name, or `<kind>/<name>.<namespace>` of another.
        health_checks: `<kind>/<name>.<namespace>`.
        depends_on: names of declared ones, or `<namespace>/<name>`.
    """

    source: str
    path: str = "./"
    prune: bool = False
    wait: bool = False
    health_checks: list[str] = []
    depends_on: list[str] = []
    service_account: str | None = None
    decryption: Decryption | None = None
    target_namespace: str | None = None
    kubeconfig_secret: str | None = None
    retry_interval: str | None = None


class Release(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A HelmRelease: a chart of a source, or `chart_ref`.

    Args:
        values_files: of the declaration's folder; merged in order, and `values` over them.
        values_from: `ConfigMap/<name>` or `Secret/<name>`.
    """

    chart: str | None = None
    version: str | None = None
    source: str | None = None
    chart_ref: str | None = None
    chart_interval: str | None = None
    reconcile_strategy: str = "ChartVersion"
    release_name: str | None = None
    target_namespace: str | None = None
    storage_namespace: str | None = None
    create_namespace: bool = False
    crds: str | None = None
    service_account: str | None = None
    kubeconfig_secret: str | None = None
    depends_on: list[str] = []
    values: dict[str, Any] | None = None
    values_files: list[str] = []
    values_from: list[str] = []


SECTIONS: dict[str, type[Entry]] = {
    "git": GitSource,
    "helm": HelmSource,
    "oci": OciSource,
    "bucket": BucketSource,
    "kustomizations": Kustomization,
    "releases": Release,
}
"""In the order in which objects stand in a file that several share."""

SOURCE_SECTIONS = ("git", "helm", "oci", "bucket")

KINDS = {
    "git": "GitRepository",
    "helm": "HelmRepository",
    "oci": "OCIRepository",
    "bucket": "Bucket",
    "kustomizations": "Kustomization",
    "releases": "HelmRelease",
}
