"""Gristmill on Kubernetes, any cluster: deploy an image, see how it is, take it away."""

from gristmill.deploy.kubernetes.cluster import Cluster, Listing
from gristmill.deploy.kubernetes.deploying import Deployed, deploy
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
from gristmill.deploy.kubernetes.planning import Login, Plan, planned
from gristmill.deploy.kubernetes.waiting import Patience

__all__ = [
    "BadKubeconfig",
    "BadValues",
    "Cluster",
    "ClusterRefused",
    "ClusterUnreachable",
    "Deployed",
    "Listing",
    "Login",
    "LoginRefused",
    "NotAllowed",
    "NotThere",
    "Patience",
    "Plan",
    "RolloutFailed",
    "deploy",
    "planned",
]
