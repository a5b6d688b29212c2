"""The objects of a release: what the chart's templates make of the same values, which a test holds true."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from gristmill.deploy.kubernetes.pods import claim_spec, pod_template, service_account
from gristmill.deploy.kubernetes.release import Object, Release

__all__ = ["objects", "workload"]


def objects(release: Release) -> list[Object]:
    """All of them, in the order in which a cluster should get them."""
    return [*_ground(release), workload(release), *_scaling(release), *_ingress(release)]


def workload(release: Release) -> Object:
    """The StatefulSet of one box, or the Deployment of replicas."""
    values = release.values
    spec: Object = {
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": release.selector},
        "template": pod_template(release),
    }
    if release.shared:
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    else:
        spec |= {"serviceName": release.name, "podManagementPolicy": "Parallel"}
        if values["persistence"]["enabled"] and not values["persistence"]["existingClaim"]:
            metadata = {"name": "data", "labels": release.selector}
            spec["volumeClaimTemplates"] = [{"metadata": metadata, "spec": claim_spec(values["persistence"])}]
    if not values["autoscaling"]["enabled"]:
        spec["replicas"] = values["replicas"]
    return release.object("apps/v1", release.workload_kind, spec=spec)


def _ground(release: Release) -> Iterator[Object]:
    """What the pods stand on."""
    values = release.values
    if values["serviceAccount"]["create"]:
        account = release.object("v1", "ServiceAccount", automountServiceAccountToken=False)
        account["metadata"]["name"] = service_account(release)
        yield _annotated(account, values["serviceAccount"]["annotations"])
    if release.secrets:
        data = {key: _encoded(value) for key, value in release.secrets.items()}
        yield release.object("v1", "Secret", type="Opaque", data=data)
    if values["imageCredentials"]["username"]:
        yield _pull_secret(release)
    if release.shared and not values["blobs"]["existingClaim"]:
        claim = release.object(
            "v1", "PersistentVolumeClaim", suffix="-blobs", spec=claim_spec(values["blobs"])
        )
        yield _annotated(claim, {"helm.sh/resource-policy": "keep"})
    if values["networkPolicy"]["enabled"]:
        yield _network_policy(release)
    yield _service(release)


def _pull_secret(release: Release) -> Object:
    login = release.values["imageCredentials"]
    name, password = login["username"], login["password"]
    entry = {"auth": _encoded(f"{name}:{password}"), "password": password, "username": name}
    # In Go's spelling of JSON, so that Helm and we make the same bytes.
    text = json.dumps({"auths": {login["registry"]: entry}}, ensure_ascii=False, separators=(",", ":"))
    data = {".dockerconfigjson": _encoded(text)}
    kind = "kubernetes.io/dockerconfigjson"
    return release.object("v1", "Secret", suffix="-pull", type=kind, data=data)


def _service(release: Release) -> Object:
    values = release.values["service"]
    port: Object = {"name": "http", "port": values["port"], "targetPort": "http", "protocol": "TCP"}
    if values["nodePort"]:
        port["nodePort"] = values["nodePort"]
    spec: Object = {
        "type": values["type"],
        "selector": release.selector,
        "ports": [port],
        "sessionAffinity": values["sessionAffinity"],
    }
    for key in ("externalTrafficPolicy", "loadBalancerSourceRanges"):
        if values[key]:
            spec[key] = values[key]
    if values["sessionAffinity"] == "ClientIP":
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": values["sessionAffinitySeconds"]}}
    return _annotated(release.object("v1", "Service", spec=spec), values["annotations"])


def _network_policy(release: Release) -> Object:
    values = release.values["networkPolicy"]
    rule: Object = {"ports": [{"port": 12800, "protocol": "TCP"}]}
    if values["from"]:
        rule["from"] = values["from"]
    egress: list[Object] = [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]
    if values["egress"]["internet"]:
        everywhere = [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
            {"namespaceSelector": {}},
        ]
        egress.append({"to": everywhere})
    elif release.shared:
        egress.append({"ports": [{"port": 5432, "protocol": "TCP"}]})
    spec = {
        "podSelector": {"matchLabels": release.selector},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [rule],
        "egress": [*egress, *values["egress"]["to"]],
    }
    return release.object("networking.k8s.io/v1", "NetworkPolicy", spec=spec)


def _scaling(release: Release) -> Iterator[Object]:
    values = release.values
    if release.shared and values["podDisruptionBudget"]["enabled"]:
        spec: Object = {
            "maxUnavailable": values["podDisruptionBudget"]["maxUnavailable"],
            "selector": {"matchLabels": release.selector},
        }
        version = "policy/v1" if release.kubernetes >= (1, 21) else "policy/v1beta1"
        yield release.object(version, "PodDisruptionBudget", spec=spec)
    scaling = values["autoscaling"]
    if scaling["enabled"]:
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": release.name},
            "minReplicas": scaling["minReplicas"],
            "maxReplicas": scaling["maxReplicas"],
            "metrics": [_metric(what, scaling[what]) for what in ("cpu", "memory") if scaling[what]],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": scaling["scaleDownSeconds"]}},
        }
        version = "autoscaling/v2" if release.kubernetes >= (1, 23) else "autoscaling/v2beta2"
        yield release.object(version, "HorizontalPodAutoscaler", spec=spec)


def _metric(what: str, percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": what, "target": target}}


def _ingress(release: Release) -> Iterator[Object]:
    values = release.values["ingress"]
    if not values["enabled"]:
        return
    backend = {"service": {"name": release.name, "port": {"name": "http"}}}
    path = {"path": values["path"], "pathType": "Prefix", "backend": backend}
    spec: Object = {"rules": [{"host": host, "http": {"paths": [path]}} for host in values["hosts"]]}
    if values["className"]:
        spec["ingressClassName"] = values["className"]
    if values["tls"]["enabled"]:
        secret = values["tls"]["secretName"] or f"{release.name}-tls"
        spec["tls"] = [{"secretName": secret, "hosts": values["hosts"]}]
    ingress = release.object("networking.k8s.io/v1", "Ingress", spec=spec)
    yield _annotated(ingress, values["annotations"])


def _annotated(found: Object, annotations: dict[str, str]) -> Object:
    if annotations:
        found["metadata"]["annotations"] = annotations
    return found


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
