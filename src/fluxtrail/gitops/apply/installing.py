"""Flux's own controllers: where their manifests come from, and waiting until they run."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.objects.manifests import Manifest, parse_manifests
from fluxtrail.model.errors import ConfigError, UpstreamError
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.redaction import redact

EXPORT_SECONDS = 120.0
EXPORT_LIMIT_BYTES = 16 * 1024 * 1024
LOOK_SECONDS = 1.0
_VERSION = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?|latest")
_COMPONENT = re.compile(r"[a-z][a-z-]{0,60}")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


async def export(
    *, version: str = "", components_extra: Sequence[str] = (), namespace: str = "", environ: Mapping[str, str]
) -> list[Manifest]:
    """Return what `flux install --export` prints, of the `flux` on PATH.

    Raises:
        ConfigError: there is none on PATH, it refused, or an argument is not one that it takes.
        UpstreamError: it did not end in time.
    """
    command = shutil.which("flux", path=environ.get("PATH"))
    if command is None:
        message = "there is no `flux` on PATH; install it, or give the manifests by --manifests FILE"
        raise ConfigError(message, subject="flux")
    arguments = ["install", "--export"]
    if version:
        arguments.append(f"--version={_checked(version, _VERSION, '--version')}")
    if components_extra:
        extra = ",".join(_checked(each, _COMPONENT, "--components-extra") for each in components_extra)
        arguments.append(f"--components-extra={extra}")
    if namespace:
        arguments.append(f"--namespace={_checked(namespace, _NAMESPACE, '--namespace')}")
    text = await _output(command, arguments, environ)
    return parse_manifests(text, source="flux install --export")


def _checked(value: str, pattern: re.Pattern[str], option: str) -> str:
    if not pattern.fullmatch(value):
        raise ConfigError(f"{value[:60]!r} is not of the form that flux takes", subject=option)
    return value


async def _output(command: str, arguments: Sequence[str], environ: Mapping[str, str]) -> bytes:
    process = await asyncio.create_subprocess_exec(
        command,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environ),
        limit=EXPORT_LIMIT_BYTES,
    )
    try:
        async with asyncio.timeout(EXPORT_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise UpstreamError(f"did not end within {EXPORT_SECONDS:g} s", subject="flux install --export") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        why = redact(errors.decode("utf-8", "replace").strip()) or f"it ended with {process.returncode}"
        raise ConfigError(why, subject="flux install --export")
    return output


def controllers(manifests: Sequence[Manifest], namespace: str) -> list[ObjectKey]:
    """Return the Deployments to wait for."""
    return [
        ObjectKey("apps", "Deployment", manifest.namespace or namespace, manifest.name)
        for manifest in manifests
        if (manifest.group, manifest.kind) == ("apps", "Deployment")
    ]


async def until_running(
    writer: Writer, keys: Sequence[ObjectKey], *, timeout: float, say: Callable[[str], None]
) -> dict[ObjectKey, str]:
    """Wait until Deployments are rolled out; return why of those that are not when the time is over."""
    left = dict.fromkeys(keys, "it was not looked at")
    try:
        async with asyncio.timeout(timeout):
            while left:
                for key in list(left):
                    why = rollout_problem(await writer.read(key))
                    if not why:
                        del left[key]
                        say(f"{key} runs")
                    elif left[key] != why:
                        left[key] = why
                        say(f"{key}: {why}")
                if left:
                    await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        pass
    return left


def rollout_problem(deployment: Mapping[str, Any] | None) -> str:
    """Return what a Deployment lacks to be rolled out; empty where nothing.

    Source: kubectl pkg/polymorphichelpers/rollout_status.go
    """
    if deployment is None:
        return "it does not exist"
    metadata, spec, status = (deployment.get(part) or {} for part in ("metadata", "spec", "status"))
    if (status.get("observedGeneration") or 0) < (metadata.get("generation") or 0):
        return "its new state was not seen yet"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return "it exceeded its progress deadline"
    wanted = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas") or 0, status.get("replicas") or 0
    if updated < wanted:
        return f"{updated} of {wanted} replicas are updated"
    if total > updated:
        return f"{total - updated} old replicas are still there"
    available = status.get("availableReplicas") or 0
    return f"{available} of {wanted} replicas are available" if available < wanted else ""
