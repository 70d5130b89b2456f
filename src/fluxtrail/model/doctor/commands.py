"""The commands to run, whole: ours, and Flux's own."""

from __future__ import annotations

from shlex import quote

from fluxtrail.model.observation import ObjectKey

_OURS = {
    "HelmRelease": "hr",
    "Kustomization": "ks",
    "GitRepository": "gitrepo",
    "OCIRepository": "ocirepo",
    "Bucket": "bucket",
    "HelmRepository": "helmrepo",
    "HelmChart": "hc",
}
_FLUX = {
    "HelmRelease": "helmrelease",
    "Kustomization": "kustomization",
    "GitRepository": "source git",
    "OCIRepository": "source oci",
    "Bucket": "source bucket",
    "HelmRepository": "source helm",
    "HelmChart": "source chart",
}


def gitops(verb: str, key: ObjectKey, context: str, *flags: str) -> str:
    """Return `fluxtrail gitops reconcile hr X -n NS …`."""
    return _join(
        "fluxtrail gitops", verb, _OURS.get(key.kind, key.kind), quote(key.name), *_place(key, context), *flags
    )


def flux(verb: str, key: ObjectKey, context: str, *flags: str) -> str:
    """Return `flux reconcile helmrelease X -n NS …`."""
    return _join("flux", verb, _FLUX.get(key.kind, key.kind), quote(key.name), *_place(key, context), *flags)


def both(verb: str, key: ObjectKey, context: str, *flags: str) -> tuple[str, ...]:
    """Return both of them; of a kind that neither reconciles by itself, none."""
    if key.kind not in _OURS:
        return ()
    return gitops(verb, key, context, *flags), flux(verb, key, context, *flags)


def suspend_and_resume(key: ObjectKey, context: str) -> tuple[str, ...]:
    """Return document 004's workaround, by each of the two tools."""
    return tuple(f"{tool('suspend', key, context)} && {tool('resume', key, context)}" for tool in (gitops, flux))


def kubectl(verb: str, key: ObjectKey, context: str, *flags: str) -> str:
    kind = f"{key.kind.lower()}.{key.group}" if key.group else key.kind.lower()
    return _join("kubectl", verb, kind, quote(key.name), *_place(key, context), *flags)


def helm(verb: str, name: str, namespace: str, context: str, *flags: str) -> str:
    named = [f"--kube-context {quote(context)}"] if context else []
    return _join("helm", verb, quote(name), *flags, "-n", quote(namespace), *named)


def _place(key: ObjectKey, context: str) -> list[str]:
    return ["-n", quote(key.namespace), *([f"--context {quote(context)}"] if context else [])]


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
