"""Which cluster, and who we are to it: a kubeconfig as kubectl reads it, for lightkube."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.deploy.kubernetes.errors import BadKubeconfig

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig

__all__ = ["Kubeconfig", "load"]

_DEFAULT = "~/.kube/config"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_EXEC_GROUP = "client.authentication.k8s.io/"
#: What names a file, by the section where it does; read from where the kubeconfig is.
_FILES = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """One context of a kubeconfig."""

    config: SingleConfig
    source: str  #: for people: the file, or where else it came from

    @property
    def server(self) -> str:
        """The cluster's address."""
        return self.config.cluster.server

    @property
    def namespace(self) -> str:
        """The context's namespace."""
        return self.config.namespace

    @property
    def told(self) -> str:
        """Which one it is, for messages."""
        return f"context {self.config.context_name!r} of {self.source}"


def load(given: Mapping[str, Any] | Path | str | None, context: str | None) -> Kubeconfig:
    """The context of a kubeconfig: given as a file or its content, else KUBECONFIG's, else ~/.kube/config's.

    A pod that has none uses its service account. Raises BadKubeconfig.
    """
    if isinstance(given, Mapping):
        return _chosen(_with_files(dict(given), Path.cwd()), "the kubeconfig that was given", context)
    if given is None and not os.environ.get("KUBECONFIG"):
        if not Path(_DEFAULT).expanduser().exists() and (_ACCOUNT / "token").exists():
            return _own_account()
        given = _DEFAULT
    listed = [str(given)] if given is not None else os.environ["KUBECONFIG"].split(os.pathsep)
    paths = [Path(each).expanduser() for each in listed if each]
    there = [path for path in paths if path.is_file()]
    if not there:
        raise BadKubeconfig(
            f"there is no kubeconfig at {' or '.join(map(str, paths))}: name one by --kubeconfig or "
            "KUBECONFIG; your cluster's provider writes it, for AKS `az aks get-credentials`"
        )
    whole: dict[str, Any] = {}
    for path in there:
        _lay_under(whole, _with_files(_read(path), path.absolute().parent))
    return _chosen(whole, ", ".join(map(str, there)), context)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadKubeconfig(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BadKubeconfig(f"the kubeconfig {path} is not YAML") from None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key) or [], list) for key in ("clusters", "contexts", "users")
    ):
        raise BadKubeconfig(f"{path} is not a kubeconfig: it has no lists of clusters, contexts and users")
    return found


def _lay_under(whole: dict[str, Any], more: dict[str, Any]) -> None:
    """As kubectl merges files: what came first counts."""
    for key in ("clusters", "contexts", "users"):
        known = {each["name"] for each in whole.setdefault(key, [])}
        whole[key] += [each for each in more.get(key) or [] if each.get("name") not in known]
    whole["current-context"] = whole.get("current-context") or more.get("current-context")


def _with_files(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same, with absolute paths of files, and plugins as lightkube runs them."""
    found: dict[str, Any] = {**config}
    for section, names in _FILES.items():
        entries = []
        for entry in config.get(f"{section}s") or []:
            body = dict((entry if isinstance(entry, dict) else {}).get(section) or {})
            body |= {name: str(folder / body[name]) for name in names if body.get(name)}
            if body.get("exec"):
                body["exec"] = _plugin(dict(body["exec"]))
            entries.append({**entry, section: body})
        found[f"{section}s"] = entries
    return found


def _plugin(plugin: dict[str, Any]) -> dict[str, Any]:
    """A credentials plugin. lightkube knows v1beta1, whose answers are v1's, and tells the plugin nothing."""
    version = str(plugin.get("apiVersion", ""))
    told = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    more = [{"name": "KUBERNETES_EXEC_INFO", "value": json.dumps(told)}]
    known = version.startswith(_EXEC_GROUP)
    return {
        **plugin,
        "apiVersion": f"{_EXEC_GROUP}v1beta1" if known else version,
        "env": [*(plugin.get("env") or []), *more],
    }


def _chosen(config: dict[str, Any], source: str, context: str | None) -> Kubeconfig:
    import msgspec
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.config.models import User

    name = context or config.get("current-context")
    names = [each.get("name") for each in config.get("contexts") or []]
    if not name:
        raise BadKubeconfig(f"{source} names no current context: choose one by --context: {_listed(names)}")
    if name not in names:
        raise BadKubeconfig(f"there is no context {name!r} in {source}; it has {_listed(names)}")
    try:
        found = KubeConfig.from_dict(config).get(name)
    except KeyError as missing:
        raise BadKubeconfig(
            f"{source}: context {name!r} names {missing}, which the file does not describe"
        ) from None
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise BadKubeconfig(f"{source} is not a kubeconfig: {error}") from None
    assert found is not None
    return Kubeconfig(config=found if found.user else found._replace(user=User()), source=source)


def _listed(names: list[Any]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"


def _own_account() -> Kubeconfig:
    from lightkube.config.kubeconfig import KubeConfig

    found = KubeConfig.from_service_account(_ACCOUNT).get()
    assert found is not None
    return Kubeconfig(config=found, source="this pod's service account")
