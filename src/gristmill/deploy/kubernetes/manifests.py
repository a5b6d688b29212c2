"""Manifests as users have them: a file, a folder, YAML text, or objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gristmill.deploy.kubernetes.errors import BadValues
from gristmill.deploy.kubernetes.release import Object

__all__ = ["Manifest", "as_yaml", "read"]

Manifest = Path | str | Mapping[str, Any] | Iterable[Mapping[str, Any]]

#: What others stand on is made first, and deleted last.
_FIRST = (
    "Namespace", "CustomResourceDefinition", "StorageClass", "ServiceAccount", "Secret", "ConfigMap",
    "PersistentVolume", "PersistentVolumeClaim", "NetworkPolicy", "Service",
)  # fmt: skip


def read(manifest: Manifest) -> list[Object]:
    """Its objects, in the order in which they are to be made. Raises BadValues.

    A text of one line is a path; a folder stands for its files `*.yaml`, `*.yml` and `*.json`.
    """
    found = [_object(each, where) for each, where in _documents(manifest)]
    if not found:
        raise BadValues(f"there are no objects in {_named(manifest)}")
    return sorted(found, key=lambda each: _rank(each["kind"]))


def as_yaml(objects: Iterable[Object]) -> str:
    """Documents, to be read by people and by kubectl."""
    import yaml

    return (
        "\n---\n".join(yaml.safe_dump(each, sort_keys=False, width=110).rstrip() for each in objects) + "\n"
    )


def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _named(manifest: Manifest) -> str:
    return str(manifest) if isinstance(manifest, Path | str) and "\n" not in str(manifest) else "the manifest"


def _documents(manifest: Manifest) -> Iterator[tuple[Any, str]]:
    if isinstance(manifest, Mapping):
        yield from _items(manifest, "the manifest")
    elif isinstance(manifest, str) and "\n" in manifest:
        yield from _parsed(manifest, "the manifest")
    elif isinstance(manifest, Path | str):
        for path in _files(Path(manifest).expanduser()):
            try:
                text = path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise BadValues(f"the manifest {path} cannot be read: {error}") from error
            yield from _parsed(text, str(path))
    else:
        for each in manifest:
            yield from _items(each, "the manifest")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(each for each in path.iterdir() if each.suffix in {".yaml", ".yml", ".json"})
    return [path]


def _parsed(text: str, where: str) -> Iterator[tuple[Any, str]]:
    import yaml

    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise BadValues(f"{where} is not YAML: {error}") from None
    for document in documents:
        if document is not None:
            yield from _items(document, where)


def _items(document: Any, where: str) -> Iterator[tuple[Any, str]]:
    """A list of objects is its items."""
    if isinstance(document, Mapping) and document.get("kind") == "List":
        for item in document.get("items") or []:
            yield item, where
    else:
        yield document, where


def _object(found: Any, where: str) -> Object:
    metadata = found.get("metadata") if isinstance(found, Mapping) else None
    if not isinstance(metadata, Mapping) or not all(
        isinstance(each, str) and each
        for each in (found.get("apiVersion"), found.get("kind"), metadata.get("name"))
    ):
        raise BadValues(f"{where}: every object has apiVersion, kind and metadata.name")
    return {**found, "metadata": dict(metadata)}
