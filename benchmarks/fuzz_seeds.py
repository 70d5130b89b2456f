"""Good documents of every kind that is read from others, as Flux, registries, git, exporters and collectors write."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
from benchmarks.objects import git_repository, kustomization, pod
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from fluxtrail.remotes.oci.manifests import OCI_INDEX, OCI_MANIFEST
from fluxtrail.trail.strategies.exporter_info import LAYER_TYPE

Object = dict[str, Any]
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHA = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738"
DIGEST = "sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de"
TIME = "2026-03-01T12:00:00Z"


def _json(*documents: Object) -> list[bytes]:
    return [msgspec.json.encode(document) for document in documents]


# -- registries ---------------------------------------------------------------------------------------------------


def _descriptor(kind: str, **fields: Any) -> Object:
    return {"mediaType": kind, "digest": DIGEST, "size": 1234, **fields}


_ANNOTATIONS = {
    "org.opencontainers.image.created": TIME,
    "org.opencontainers.image.source": "https://github.com/acme/fleet.git",
    "org.opencontainers.image.revision": f"main@sha1:{SHA}",
}
MANIFESTS = _json(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor("application/vnd.cncf.flux.config.v1+json"),
        "layers": [
            _descriptor("application/vnd.cncf.flux.content.v1.tar+gzip", annotations={"title": "manifests"}),
            _descriptor(LAYER_TYPE),
        ],
        "annotations": _ANNOTATIONS,
    },
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            _descriptor(OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"}),
            _descriptor(OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7"}),
            _descriptor(
                OCI_MANIFEST,
                platform={"os": "unknown", "architecture": "unknown"},
                annotations={"vnd.docker.reference.type": "attestation-manifest"},
            ),
        ],
        "subject": _descriptor(OCI_MANIFEST, artifactType="application/spdx+json"),
    },
    {"schemaVersion": 1, "name": "library/busybox", "tag": "latest", "fsLayers": [{"blobSum": DIGEST}], "history": []},
)
IMAGE_CONFIGS = _json(
    {
        "architecture": "arm64",
        "variant": "v8",
        "os": "linux",
        "created": "2026-03-01T12:00:00.123456789Z",
        "config": {"Env": ["PATH=/bin"], "Labels": _ANNOTATIONS | {"maintainer": "Ada <ada@example.com>"}},
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [{"created": TIME, "created_by": "COPY . /", "empty_layer": True}],
    },
    {},
)
_AUTH = base64.b64encode(b"ada:pass:word").decode()
DOCKER_CONFIGS = _json(
    {
        "auths": {
            "https://index.docker.io/v1/": {"auth": _AUTH},
            "ghcr.io/acme": {"username": "ada", "password": "secret"},
            "quay.io": {"auth": "", "identitytoken": "refresh"},
            "registry.example.com:5000": {"registrytoken": "token", "email": "ada@example.com"},
        },
        "credHelpers": {"gcr.io": "gcloud", "public.ecr.aws": "ecr-login"},
        "credsStore": "pass",
        "HttpHeaders": {"User-Agent": "docker"},
    }
)
CHALLENGES = [
    b'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:acme/x:pull"',
    b'Basic realm="a \\"quoted\\" realm", Bearer realm="http://[::1]:5000/token", error="invalid_token"',
]
REFERENCES = [
    b"oci://ghcr.io/acme/manifests",
    b"registry.example.com:5000/acme/app:v1.2.3",
    f"ghcr.io/acme/app:latest@{DIGEST}".encode(),
    b"busybox",
]

# -- carriers -----------------------------------------------------------------------------------------------------

EXPORTER_INFOS = _json(
    {
        "commit": SHA,
        "commits_since_last_export": [
            {"hash": SHA, "summary": "Fix it (#12)", "author": "Ada", "email": "ada@example.com", "time": TIME},
            {"Hash": "ltdata", "Message": "Add it\n\nbody", "Author": "Grace", "Time": "2026-03-01T13:00:00+01:00"},
        ],
        "export_build_link": "https://ci.example.com/builds/7",
    }
)
HYDRATOR_METADATA = _json(
    {
        "repoURL": "https://github.com/acme/dry.git",
        "drySha": SHA,
        "author": "Ada <ada@example.com>",
        "date": TIME,
        "subject": "Bump the image",
        "body": "Signed-off-by: Ada",
        "references": [{"commit": {"author": "Grace", "sha": SHA, "repoURL": "https://github.com/acme/app"}}],
    }
)

# -- clusters -----------------------------------------------------------------------------------------------------


def _meta(name: str, **fields: Any) -> Object:
    return {
        "name": name,
        "namespace": "flux-system",
        "uid": "8a7b1d3e-0000-4000-8000-000000000001",
        "resourceVersion": "12345",
        "generation": 3,
        "creationTimestamp": TIME,
        "annotations": {"reconcile.fluxcd.io/requestedAt": TIME},
        "managedFields": [{"manager": "flux", "operation": "Apply", "fieldsV1": {"f:spec": {"f:url": {}}}}],
        **fields,
    }


def _ready(message: str) -> list[Object]:
    return [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": message,
            "lastTransitionTime": TIME,
            "observedGeneration": 3,
        },
        {"type": "FetchFailed", "status": "False", "reason": "", "message": "https://u:p@h/x?token=y failed"},
    ]


def _artifact(revision: str) -> Object:
    return {"revision": revision, "digest": DIGEST, "lastUpdateTime": TIME, "metadata": _ANNOTATIONS, "size": 4321}


def _source(spec: Object, revision: str, **status: Any) -> Object:
    return {
        "metadata": _meta("fleet"),
        "spec": spec,
        "status": {"conditions": _ready("stored"), "artifact": _artifact(revision), "observedGeneration": 3, **status},
    }


_OCI = {"url": "oci://ghcr.io/acme/manifests", "ref": {"tag": "latest", "semver": ">=1", "digest": DIGEST}}
_GIT = {
    "url": "https://user:token@github.com/acme/fleet.git",
    "ref": {"branch": "main", "tag": "v1", "semver": ">=1", "name": "refs/heads/main", "commit": SHA},
    "ignore": "/*\n!/apps\n",
    "sparseCheckout": ["apps", "./base"],
    "include": [{"repository": {"name": "shared"}, "fromPath": "lib/*.yaml", "toPath": "lib"}],
}
_GENERATOR = {
    "sources": [
        {"alias": "git", "kind": "GitRepository", "name": "fleet", "namespace": "apps"},
        {"alias": "oci", "kind": "OCIRepository", "name": "charts"},
    ],
    "artifacts": [
        {"name": "one", "copy": [{"from": "@git/deploy/**", "to": "@artifact/"}, {"from": "@oci/x/[ab]/*.yaml"}]},
        {"name": "two"},
    ],
}
FLUX_OBJECTS: dict[str, list[bytes]] = {
    "GitRepository": _json(
        git_repository("https://github.com/acme/fleet", SHA, AT),
        _source(_GIT, f"main@sha1:{SHA}", includedArtifacts=[_artifact(f"main@sha1:{SHA}")]),
    ),
    "OCIRepository": _json(_source(_OCI, f"latest@{DIGEST}")),
    "Bucket": _json(_source({"bucketName": "b", "endpoint": "https://minio:9000", "insecure": True}, DIGEST)),
    "ExternalArtifact": _json(_source({"sourceRef": {"kind": "ArtifactGenerator", "name": "g"}}, f"latest@{DIGEST}")),
    "HelmRelease": _json(
        {
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "uid": "u1",
                "generation": 3,
                "labels": {
                    "kustomize.toolkit.fluxcd.io/name": "apps",
                    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
                },
            },
            "spec": {
                "chart": {
                    "spec": {
                        "chart": "web",
                        "version": "1.x",
                        "sourceRef": {"kind": "HelmRepository", "name": "charts"},
                    }
                },
                "upgrade": {"disableWait": False, "remediation": {"retries": 2, "strategy": "rollback"}},
                "dependsOn": [{"name": "db"}],
                "values": {"password": "secret"},
            },
            "status": {
                "observedGeneration": 3,
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "UpgradeFailed", "lastTransitionTime": TIME},
                    {"type": "Remediated", "status": "True", "reason": "RollbackSucceeded", "message": "rolled back"},
                ],
                "helmChart": "flux-system/shop-web",
                "lastAttemptedGeneration": 3,
                "lastAttemptedRevision": "1.2.3+0e2d3f4a5b6c",
                "lastAttemptedConfigDigest": DIGEST,
                "lastAttemptedReleaseAction": "upgrade",
                "history": [
                    {
                        "name": "web",
                        "namespace": "shop",
                        "version": 4,
                        "status": "failed",
                        "chartName": "web",
                        "chartVersion": "1.2.3+0e2d3f4a5b6c",
                        "configDigest": DIGEST,
                        "firstDeployed": TIME,
                        "lastDeployed": TIME,
                        "ociDigest": DIGEST,
                    }
                ],
                "inventory": {"entries": [{"id": "shop_web_apps_Deployment", "v": "v1"}]},
            },
        }
    ),
    "HelmChart": _json(
        _source(
            {"chart": "podinfo", "version": ">=6", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}, "6.5.3"
        )
    ),
    "HelmRepository": _json(_source({"url": "https://charts.example.com/stable", "type": "default"}, SHA)),
    "ArtifactGenerator": _json({"metadata": _meta("generator"), "spec": _GENERATOR}),
    "ImageRepository": _json(
        {
            "metadata": _meta("app"),
            "spec": {"image": "ghcr.io/acme/app", "interval": "5m", "insecure": False, "suspend": False},
            "status": {"canonicalImageName": "ghcr.io/acme/app", "lastScanResult": {"tagCount": 3, "scanTime": TIME}},
        }
    ),
    "ImagePolicy": _json(
        {
            "metadata": _meta("app"),
            "spec": {
                "imageRepositoryRef": {"name": "app", "namespace": "images"},
                "policy": {"semver": {"range": "1.x"}},
            },
            "status": {"latestRef": {"name": "ghcr.io/acme/app", "tag": "1.2.0", "digest": DIGEST}},
        }
    ),
    "ImageUpdateAutomation": _json(
        {
            "metadata": _meta("automation"),
            "spec": {"sourceRef": {"kind": "GitRepository", "name": "fleet"}, "suspend": False},
            "status": {"lastPushCommit": SHA, "lastPushTime": TIME},
        }
    ),
    "Kustomization": _json(
        kustomization(1, SHA, AT, has_checks=True),
        {
            "metadata": _meta("apps", deletionTimestamp=TIME),
            "spec": {
                "path": "./apps",
                "sourceRef": {"kind": "OCIRepository", "name": "fleet", "namespace": "other"},
                "wait": True,
                "healthChecks": [{"kind": "Deployment", "name": "web"}],
                "dependsOn": [{"name": "config"}, {"name": "infra", "namespace": "other"}],
                "components": ["../components/a"],
                "kubeConfig": {"secretRef": {"name": "remote", "key": "value"}},
            },
            "status": {
                "lastAppliedRevision": f"main@sha1:{SHA}",
                "lastAppliedOriginRevision": f"main@sha1:{SHA}",
                "conditions": _ready("applied"),
                "history": [
                    {
                        "digest": DIGEST,
                        "firstReconciled": TIME,
                        "lastReconciled": TIME,
                        "lastReconciledStatus": "ReconciliationSucceeded",
                        "totalReconciliations": 12,
                        "metadata": {"revision": f"main@sha1:{SHA}", "originRevision": SHA},
                    }
                ],
            },
        },
    ),
}


# -- pods and workloads -------------------------------------------------------------------------------------------

_OWNED = _meta(
    "web-7c9d5b8f4-x2x4z",
    labels={"app": "web", "controller-revision-hash": "web-5f7", "pod-template-generation": "3"},
    annotations={
        "metadata.github.com/team": "shop",
        "metadata.github.com/runtime-risks": "critical-resource, internet-exposed",
        "kubernetes.io/config.mirror": "6d5c",
        "deployment.kubernetes.io/revision": "12",
        "rollout.argoproj.io/revision": "7",
    },
    ownerReferences=[
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7c9d5b8f4", "uid": "u1", "controller": True},
        {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "u2"},
    ],
)
_POD_SPEC: Object = {
    "nodeName": "node-1",
    "containers": [{"name": "app", "image": "localhost:5000/acme/web:1.2", "env": [{"name": "A", "value": "b"}]}],
    "initContainers": [
        {"name": "migrate", "image": f"ghcr.io/acme/migrate@{DIGEST}"},
        {"name": "proxy", "image": "envoy:2", "restartPolicy": "Always"},
    ],
    "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
}
_BARE = _meta("web", ownerReferences=None, labels=None)
_APPLIED = _meta(
    "web",
    generation=4,
    labels={
        "kustomize.toolkit.fluxcd.io/name": "apps",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        "helm.toolkit.fluxcd.io/name": "web",
        "helm.toolkit.fluxcd.io/namespace": "shop",
    },
    managedFields=[
        {"manager": "kustomize-controller", "operation": "Apply", "time": TIME, "fieldsV1": {"f:spec": {}}},
        {"manager": "kube-controller-manager", "time": TIME, "subresource": "status"},
    ],
)
_ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 1, "partition": 2}}
_TOLD = [
    {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": 'ReplicaSet "web-7c9d5b8f4" has timed out progressing: https://me:secret@acme.dev/?token=x',
        "lastUpdateTime": TIME,
        "lastTransitionTime": TIME,
    },
    {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: compute"},
]
_COUNTED = {"observedGeneration": 4, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3}
_TROUBLED = {
    "phase": "Pending",
    "reason": "Evicted",
    "message": "The node was low on resource: memory.",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"},
        {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": None},
        {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": TIME},
    ],
    "containerStatuses": [
        {
            "name": "app",
            "ready": False,
            "started": False,
            "restartCount": 12,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed app"}},
            "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "message": "m", "startedAt": TIME}},
        }
    ],
}
_TEMPLATED = {"replicas": 3, "selector": {}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": _POD_SPEC}}
WORKLOADS: dict[str, list[bytes]] = {
    "Pod": _json(
        pod(1, AT),
        {
            "metadata": _OWNED | {"deletionTimestamp": TIME},
            "spec": _POD_SPEC,
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": TIME}],
                "containerStatuses": [
                    {
                        "name": "app",
                        "ready": True,
                        "imageID": f"docker-pullable://localhost:5000/acme/web@{DIGEST}",
                        "state": {"running": {"startedAt": TIME}},
                        "lastState": {"terminated": {"startedAt": TIME, "finishedAt": TIME, "exitCode": 137}},
                    }
                ],
                "initContainerStatuses": [
                    {"name": "migrate", "imageID": DIGEST, "state": {"terminated": {"startedAt": TIME}}},
                    {"name": "proxy", "imageID": "", "state": {"waiting": {"reason": "PodInitializing"}}},
                ],
            },
        },
        {"metadata": _APPLIED, "spec": _POD_SPEC, "status": _TROUBLED},
    ),
    "ReplicaSet": _json(
        {"metadata": _OWNED, "spec": _TEMPLATED, "status": _COUNTED | {"conditions": _TOLD}},
        {"metadata": _BARE, "spec": _TEMPLATED},
    ),
    "Deployment": _json(
        {
            "metadata": _APPLIED,
            "spec": _TEMPLATED | {"strategy": _ROLLING, "paused": True, "minReadySeconds": 5},
            "status": _COUNTED | {"conditions": _TOLD},
        },
        {"metadata": _BARE, "spec": _TEMPLATED},
    ),
    "StatefulSet": _json(
        {
            "metadata": _APPLIED,
            "spec": _TEMPLATED | {"updateStrategy": _ROLLING},
            "status": _COUNTED | {"updateRevision": "web-5f7", "currentRevision": "web-4d1"},
        }
    ),
    "DaemonSet": _json(
        {
            "metadata": _APPLIED,
            "spec": _TEMPLATED | {"updateStrategy": _ROLLING},
            "status": {
                "observedGeneration": 4,
                "desiredNumberScheduled": 4,
                "currentNumberScheduled": 4,
                "updatedNumberScheduled": 1,
                "numberReady": 3,
                "numberAvailable": 3,
            },
        }
    ),
    "Job": _json(
        {
            "metadata": _OWNED,
            "spec": _TEMPLATED | {"completions": 3, "suspend": False, "ttlSecondsAfterFinished": 60},
            "status": {"active": 1, "succeeded": 2, "failed": 1, "ready": 1, "completionTime": TIME},
        }
    ),
    "CronJob": _json(
        {
            "metadata": _APPLIED,
            "spec": {"schedule": "0 * * * *", "suspend": True, "jobTemplate": {"spec": _TEMPLATED}},
        }
    ),
    "Rollout": _json({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": _OWNED}),
    "any": _json(
        {"metadata": _APPLIED, "status": {"observedGeneration": "12", "conditions": _TOLD}},
        {"metadata": _BARE, "status": {"observedGeneration": 4, "conditions": [None, "Ready", {"type": 7}]}},
    ),
}
IMAGE_IDS = [
    f"docker-pullable://localhost:5000/acme/web@{DIGEST}".encode(),
    b"docker://sha256:abc123 extra",
    b"ghcr.io/acme/web:1.2@sha256:",
]


def _events(kind: str) -> bytes:
    found = FLUX_OBJECTS[kind]
    lines = [b'{"type":"%s","object":%s}' % (word, item) for item in found for word in (b"ADDED", b"MODIFIED")]
    bookmark = {"type": "BOOKMARK", "object": {"kind": kind, "metadata": {"resourceVersion": "12346"}}}
    end = {"k8s.io/initial-events-end": "true"}
    marked = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12347", "annotations": end}}}
    lines += [*_json(bookmark, marked), b'{"type":"DELETED","object":%s}' % found[0]]
    return b"\n".join(lines) + b"\n"


STATUSES = _json(
    {
        "kind": "Status",
        "code": 410,
        "reason": "Expired",
        "message": "too old resource version: 1 (2)",
        "details": {"retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge", "message": "no"}]},
    }
)
WATCHES = [
    *(_events(kind) for kind in ("Kustomization", "GitRepository")),
    b'{"type":"ERROR","object":%s}\n' % STATUSES[0],
]

# -- text ---------------------------------------------------------------------------------------------------------

REVISIONS = [
    f"main@sha1:{SHA}".encode(),
    f"feature/a@b@sha1:{SHA}".encode(),
    f"latest@{DIGEST}".encode(),
    f"main@<unknown>:{DIGEST[7:]}".encode(),
    f"main/{SHA}".encode(),
    b"6.5.3+5394cb7f4833.2",
]
URLS = [
    b"https://user:token@github.com/acme/shop.git",
    b"ssh://git@ssh.github.com:443/acme/shop",
    b"git@github.com:Acme/Shop.git",
    b"acme@vs-ssh.visualstudio.com:v3/acme/project/shop",
    b"https://dev.azure.com/acme/project/_git/shop",
    b"https://[2001:db8::1]:8443/a/b%2fc?token=x#y",
    b"file:///srv/git/shop.git",
    b"oci://GHCR.io/acme/manifests/",
    b"bucket://minio:9000/b",
]
MESSAGES = [
    b"failed to checkout 'https://ada:p@ss@host/x?token=1': Authorization: Bearer abcdefgh0123 password=\"hunter2 2\"",
    b"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- ghp_0123456789abcdefghijABCDEFGHIJ",
]
TIMESTAMPS = [b"2026-03-01T12:00:00.123456789+01:00", TIME.encode(), b"0001-01-01T00:00:00Z"]
HTTP_DATES = [
    b"Sun, 01 Mar 2026 12:00:00 GMT",
    b"Sunday, 01-Mar-26 12:00:00 +0100",
    b"Sun Mar  1 12:00:00 2026",
    b"120",
]

# -- git ----------------------------------------------------------------------------------------------------------


def _record(subject: bytes, body: bytes, *paths: bytes) -> bytes:
    sha = SHA.encode()
    head = b"\0".join([b"", sha, sha, b"Ada", b"ada@example.com", b"1768212000", b"1768212000", subject, body])
    return head + b"\0" + (b"\n" + b"\0".join(paths) + b"\0" if paths else b"")


LOGS = [
    _record(b"Fix it (#12)", b"This reverts commit %s.\n" % SHA.encode(), b"apps/a.yaml", b"apps/\xff")
    + _record(b"Merge pull request #7 from x", b"")
    + _record(b"", b"body", b"a b\nc"),
]
_RAW = bytes.fromhex(SHA)
TREES = [b"100644 a b\0" + _RAW + b"40000 dir\0" + _RAW + b"160000 sub\0" + _RAW + b"120000 link\0" + _RAW]
REFS = [
    "\n".join(
        (
            f"refs/heads/a/b\0{SHA}\0commit\0\0",
            f"refs/tags/v1\0{'c' * 40}\0tag\0{SHA}\0commit",
            f"refs/tags/nested\0{'e' * 40}\0tag\0{'f' * 40}\0tag",
            f"refs/fluxtrail/x-12\0{SHA}\0commit\0\0",
        )
    ).encode()
]
PROGRESS = [b"Receiving objects:  42% (420/1000), 1.20 MiB | 2 MiB/s", b"remote: Enumerating objects: 1234, done.   "]
BATCHES = [
    f"{SHA} blob 12\nhello world!\n".encode(),
    f"{SHA} missing\n".encode(),
    f"{SHA} tree 32\n".encode() + b"100644 a\0" + _RAW + b"\0\0\0\0\n",
]

# -- collectors ---------------------------------------------------------------------------------------------------


def _statuses() -> list[bytes]:
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=3, nanos=500_000_000)))
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 7
    partial.partial_success.error_message = "token=abcdefgh is over its quota"
    return [
        Status(code=14, message="unavailable", details=[detail]).SerializeToString(),
        partial.SerializeToString(),
        *_json({"partialSuccess": {"rejectedSpans": "7", "errorMessage": "over quota"}}),
    ]


ANSWERS = _statuses()
