"""The Containerfile of a folder's image. Names have been checked; commands and copies are lists in JSON."""

from __future__ import annotations

import json

from gristmill.deploy.project import Project

__all__ = ["BUNDLE", "INSTALLER", "REQUIREMENTS", "containerfile"]

#: Files of the build context, beside the Containerfile itself.
BUNDLE = "bundle"
REQUIREMENTS = "requirements.txt"
INSTALLER = "install_packages.R"

_PYTHON = "/opt/gristmill/bin/python"
_PLACE = "/usr/local/lib/gristmill"
_SBOM = "/usr/share/doc/gristmill/sbom.cdx.json"


def containerfile(project: Project, base: str, *, requirements: bool) -> str:
    """Packages first and the folder last: a new model is a new layer of its own size."""
    lines = [f"FROM {base}", "USER 0:0"]
    if project.r_packages:
        lines += [
            _copy(INSTALLER, f"{_PLACE}/{INSTALLER}"),
            "ARG R_REPOS",
            _run("Rscript", f"{_PLACE}/{INSTALLER}", *project.r_packages),
        ]
    if requirements:
        place = f"{_PLACE}/{project.name}-{REQUIREMENTS}"
        pip = (_PYTHON, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check", "--no-input")
        lines += [
            _copy(REQUIREMENTS, place),
            _run(*pip, "install", "--root-user-action=ignore", "--requirement", place),
            # Packages that the server needs too may not end up in versions that do not fit together.
            _run(*pip, "check"),
        ]
    if project.r_packages or requirements:
        # The bill of materials tells of what was added, too.
        lines.append(_run(_PYTHON, "-m", "gristmill.deploy.sbom", "--output", _SBOM))
    lines.append(_copy(f"{BUNDLE}/", f"/gristmill/publish/{project.name}/"))
    lines += [f'LABEL "{key}"="{value}"' for key, value in project.labels]
    lines.append("USER 10001:10001")
    return "\n".join(lines) + "\n"


def _copy(source: str, target: str) -> str:
    return f"COPY {json.dumps([source, target])}"


def _run(*command: str) -> str:
    # The base's HOME is the volume of the server, where root should leave nothing behind.
    return f"RUN {json.dumps(['env', 'HOME=/root', *command])}"
