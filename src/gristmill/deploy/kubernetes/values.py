"""The chart's values: its defaults, what is laid over them, and its schema, in Python.

`values.yaml` and `values.schema.json` beside this module are the chart's own files.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gristmill.deploy.kubernetes.errors import BadValues

__all__ = ["Values", "checked", "defaults", "is_shared", "merged", "read_file", "with_setting"]

Values = dict[str, Any]

_HERE = Path(__file__).parent
#: Mappings whose values are texts, whatever they look like.
_TEXTS = {"annotations", "podAnnotations", "podLabels", "nodeSelector"}
_STEP = re.compile(r"((?:[^.\[\]\\]|\\.)+)|\[(\d{1,3})\]")


def defaults() -> Values:
    """What the chart's values.yaml says."""
    import yaml

    found: Values = yaml.safe_load((_HERE / "values.yaml").read_text())
    return found


def read_file(path: Path) -> Values:
    """The values of a YAML file. Raises BadValues."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadValues(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadValues(f"{path} is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise BadValues(f"{path} holds no values: it must be a mapping, as the chart's values.yaml is")
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Values:
    """`above` laid over `below`, mapping by mapping; lists and everything else are replaced. As Helm does."""
    found = copy.deepcopy(dict(below))
    for key, value in above.items():
        beneath = found.get(key)
        if isinstance(value, Mapping) and isinstance(beneath, Mapping):
            found[key] = merged(beneath, value)
        elif value is None and key in found:
            del found[key]
        else:
            found[key] = copy.deepcopy(value)
    return found


def with_setting(values: Values, setting: str) -> Values:
    """Values with one `path=value`: `service.type=NodePort`, `imagePullSecrets[0]=x`, `ingress.hosts={a,b}`.

    A backslash before a dot makes it part of a name. Text stays text where the chart's default is text.
    """
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise BadValues(f"--set {setting!r}: expected path=value, such as service.type=LoadBalancer")
    steps = list(_steps(path, setting))
    found = copy.deepcopy(values)
    textual = steps[-2:-1] and steps[-2] in _TEXTS
    _put(found, steps, text if textual else _parsed(text, _at(values, steps)), setting)
    return found


def _steps(path: str, setting: str) -> Iterator[str | int]:
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise BadValues(f"--set {setting!r}: cannot read the path {path!r}")
        yield re.sub(r"\\(.)", r"\1", match[1]) if match[2] is None else int(match[2])
        position = match.end()
        if position < len(path) and path[position] == ".":
            position += 1


def _at(values: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if isinstance(values, dict):
            values = values.get(step)
        else:
            return None
    return values


def _put(target: Any, steps: list[str | int], value: Any, setting: str) -> None:
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        last = following is None
        fresh: Any = value if last else ([] if isinstance(following, int) else {})
        if isinstance(step, int):
            if not isinstance(target, list) or step > len(target):
                raise BadValues(f"--set {setting!r}: there is no list with the place {step} there")
            if step == len(target):
                target.append(fresh)
            elif last:
                target[step] = value
        elif not isinstance(target, dict):
            raise BadValues(f"--set {setting!r}: {step!r} stands below something that is no mapping")
        elif last and value is None:
            target.pop(step, None)
            return
        elif last or target.get(step) is None:
            target[step] = fresh
        target = target[step]


def _parsed(text: str, default: Any) -> Any:
    if text.startswith("{") and text.endswith("}"):
        inner = text[1:-1]
        return [_parsed(each, None) for each in inner.split(",")] if inner else []
    if isinstance(default, str):
        return text
    words = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text):
        return int(text)
    return text


def is_shared(values: Values) -> bool:
    """Whether replicas share a database."""
    return bool(values["database"]["url"] or values["database"]["existingSecret"])


def checked(values: Values) -> Values:
    """The same values, if the chart would take them. Raises BadValues that names the first it would not."""
    import json

    import jsonschema

    schema = json.loads((_HERE / "values.schema.json").read_text())
    base = jsonschema.Draft7Validator
    # All patterns are anchored; `$` alone would let a line's end through.
    strict = jsonschema.validators.extend(base, {"pattern": _full_match})
    errors = sorted(strict(schema).iter_errors(values), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        error = errors[0]
        where = ".".join(map(str, error.absolute_path)) or "values"
        raise BadValues(f"{where}: {_shortened(error)}")
    for wrong, why in _combinations(values):
        if wrong:
            raise BadValues(why)
    return values


def _full_match(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Exception]:
    import jsonschema

    if isinstance(instance, str) and re.fullmatch(pattern, instance) is None:
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _shortened(error: Any) -> str:
    """A message without the pattern, which only its author can read."""
    if error.validator == "pattern":
        return f"{error.instance!r} is not of the form that is expected there"
    return str(error.message)


def _combinations(values: Values) -> Iterator[tuple[Any, str]]:
    """What templates/checks.yaml refuses, in its words."""
    yield from _scaling_combinations(values)
    for section, given in (("database", "url"), ("admin", "password"), ("signingKey", "pem")):
        both = values[section][given] and values[section]["existingSecret"]
        yield both, f"{section}: give {given} or existingSecret, not both"
    ingress, login, service = values["ingress"], values["imageCredentials"], values["service"]
    yield (
        ingress["enabled"] and not ingress["hosts"],
        "ingress: hosts is empty: give the names by which the server is called",
    )
    yield (
        login["username"] and not (login["registry"] and login["password"]),
        "imageCredentials: username goes with registry and password",
    )
    inside = service["type"] == "ClusterIP"
    yield service["nodePort"] and inside, "service: nodePort goes with type NodePort or LoadBalancer"
    yield (
        service["externalTrafficPolicy"] and inside,
        "service: externalTrafficPolicy goes with type NodePort or LoadBalancer",
    )
    yield (
        service["loadBalancerSourceRanges"] and service["type"] != "LoadBalancer",
        "service: loadBalancerSourceRanges goes with type LoadBalancer",
    )


def _scaling_combinations(values: Values) -> Iterator[tuple[Any, str]]:
    shared, scaling = is_shared(values), values["autoscaling"]
    requests = values["resources"].get("requests") or {}
    way_out = "set database.url or database.existingSecret"
    yield (
        values["replicas"] > 1 and not shared,
        f"replicas: more than one needs a database that they share: {way_out}",
    )
    if not scaling["enabled"]:
        return
    yield not shared, f"autoscaling: one box cannot be more than one: {way_out}"
    yield scaling["minReplicas"] > scaling["maxReplicas"], "autoscaling: minReplicas is more than maxReplicas"
    yield (
        not scaling["cpu"] and not scaling["memory"],
        "autoscaling: set cpu or memory, in percent of the request",
    )
    for what in ("cpu", "memory"):
        yield (
            scaling[what] and not requests.get(what),
            f"autoscaling: {what} is a percentage of resources.requests.{what}: set that",
        )
