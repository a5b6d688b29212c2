"""Gristmill on Kubernetes, any cluster: deploy an image, see how it is, take it away."""

from gristmill.deploy.kubernetes.cluster import Cluster, Listing
from gristmill.deploy.kubernetes.errors import (
    BadKubeconfig,
    BadValues,
    ClusterRefused,
    ClusterUnreachable,
    LoginRefused,
    NotAllowed,
    NotThere,
    RolloutFailed,
)

__all__ = [
    "BadKubeconfig",
    "BadValues",
    "Cluster",
    "ClusterRefused",
    "ClusterUnreachable",
    "Listing",
    "LoginRefused",
    "NotAllowed",
    "NotThere",
    "RolloutFailed",
]
