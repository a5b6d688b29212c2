"""The pod that the chart's `gristmill.podTemplate` describes."""

from __future__ import annotations

import hashlib
from typing import Any

from gristmill.deploy.kubernetes.release import Object, Release

__all__ = ["claim_spec", "pod_template", "service_account"]

_DATA, _BLOBS, _KEYS = "/var/lib/gristmill", "/gristmill/blobs", "/gristmill/keys"
_USER = 10001
_CLOSING_SECONDS = 15


def pod_template(release: Release) -> Object:
    """`spec.template` of the workload."""
    values = release.values
    spec: Object = {
        "serviceAccountName": service_account(release),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": _grace(release),
        "containers": [_container(release)],
        "volumes": _volumes(release),
    }
    pull = [*values["imagePullSecrets"]]
    if values["imageCredentials"]["username"]:
        pull.append(f"{release.name}-pull")
    if pull:
        spec["imagePullSecrets"] = [{"name": name} for name in pull]
    for key in ("priorityClassName", "nodeSelector", "tolerations", "affinity"):
        if values[key]:
            spec[key] = values[key]
    if release.shared:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": release.selector},
            }
        ]
    return {"metadata": _metadata(release), "spec": spec}


def _metadata(release: Release) -> Object:
    values = release.values
    annotations = {**values["podAnnotations"]}
    if release.secrets:
        annotations["gristmill/secrets"] = _digest(release.secrets)
    labels = {"labels": {**release.selector, **values["podLabels"]}}
    return {**labels, "annotations": annotations} if annotations else {**labels}


def service_account(release: Release) -> str:
    """The account that its pods run as."""
    account = release.values["serviceAccount"]
    return str(account["name"] or (release.name if account["create"] else "default"))


def claim_spec(volume: dict[str, Any]) -> Object:
    """`spec` of a PersistentVolumeClaim."""
    spec: Object = {
        "accessModes": [volume["accessMode"]],
        "resources": {"requests": {"storage": volume["size"]}},
    }
    if volume["storageClass"]:
        spec["storageClassName"] = volume["storageClass"]
    return spec


def _digest(secrets: dict[str, str]) -> str:
    """Changes when a secret does: pods read theirs when they start, and so must start anew."""
    lines = (f"{key}={hashlib.sha256(secrets[key].encode()).hexdigest()}" for key in sorted(secrets))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _grace(release: Release) -> int:
    """The drain, what goes before it, and some time to close."""
    before = release.values["preStopSeconds"] if release.shared else 0
    return int(release.values["drainSeconds"] + before + _CLOSING_SECONDS)


def _container(release: Release) -> Object:
    values = release.values
    container: Object = {
        "name": "gristmill",
        "image": release.image,
        "imagePullPolicy": values["image"]["pullPolicy"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "ports": [{"name": "http", "containerPort": 12800, "protocol": "TCP"}],
        "env": _environment(release),
        "startupProbe": _probe("ready", period=1, timeout=2, failures=values["startupSeconds"]),
        "readinessProbe": _probe("ready", period=2, timeout=3, failures=4),
        "livenessProbe": _probe("live", period=10, timeout=5, failures=6),
        "volumeMounts": _mounts(release),
    }
    resources = {
        kind: {what: _plain(amount) for what, amount in amounts.items()}
        for kind, amounts in values["resources"].items()
        if amounts
    }
    if resources:
        container["resources"] = resources
    seconds = values["preStopSeconds"]
    if release.shared and seconds:
        sleep = {"sleep": {"seconds": seconds}}
        if release.kubernetes < (1, 30):
            sleep = {"exec": {"command": ["sleep", str(seconds)]}}
        container["lifecycle"] = {"preStop": sleep}
    return container


def _probe(what: str, *, period: int, timeout: int, failures: int) -> Object:
    return {
        "httpGet": {"path": f"/health/{what}", "port": "http", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _environment(release: Release) -> list[Object]:
    values, name = release.values, release.name

    def secret(variable: str, section: dict[str, str]) -> Object:
        reference = {"name": section["existingSecret"] or name, "key": section["secretKey"]}
        return {"name": variable, "valueFrom": {"secretKeyRef": reference}}

    found = [
        secret("GRISTMILL_ADMIN_PASSWORD", values["admin"]),
        {"name": "GRISTMILL_SIGNING_KEY", "value": f"{_KEYS}/{values['signingKey']['secretKey']}"},
    ]
    if release.shared:
        found.append(secret("GRISTMILL_DATABASE", values["database"]))
        found.append({"name": "GRISTMILL_BLOBS", "value": _BLOBS})
    found.append({"name": "GRISTMILL_DRAIN_SECONDS", "value": str(values["drainSeconds"])})
    for flag, value in sorted(values["settings"].items()):
        variable = f"GRISTMILL_{flag.upper().replace('-', '_')}"
        found.append({"name": variable, "value": _plain(value)})
    return [*found, *values["env"]]


def _plain(value: Any) -> str:
    """As the chart's templates write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _mounts(release: Release) -> list[Object]:
    mounts: list[Object] = [
        {"name": "data", "mountPath": _DATA},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        {"name": "keys", "mountPath": _KEYS, "readOnly": True},
    ]
    return [*mounts, {"name": "blobs", "mountPath": _BLOBS}] if release.shared else mounts


def _volumes(release: Release) -> list[Object]:
    values, name = release.values, release.name
    key = values["signingKey"]["secretKey"]
    scratch = {"sizeLimit": values["scratch"]["size"]}
    keys = {
        "secretName": values["signingKey"]["existingSecret"] or name,
        "defaultMode": 0o440,
        "optional": False,
        "items": [{"key": key, "path": key}],
    }
    found: list[Object] = [{"name": "tmp", "emptyDir": scratch}, {"name": "keys", "secret": keys}]
    persistence = values["persistence"]
    if release.shared:
        claim = values["blobs"]["existingClaim"] or f"{name}-blobs"
        found.append({"name": "data", "emptyDir": scratch})
        found.append({"name": "blobs", "persistentVolumeClaim": {"claimName": claim}})
    elif not persistence["enabled"]:
        found.append({"name": "data", "emptyDir": {}})
    elif persistence["existingClaim"]:
        claim = persistence["existingClaim"]
        found.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
    return found
