"""Write the parts of docs/reference/ that the code itself knows: flags of the commands, and operations.

    python docs/generate.py            write them
    python docs/generate.py --check    end with 1, and say which page is out of date

A generated part stands between `<!-- begin NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import client_reference
import typer

from gristmill.app.cli import app
from gristmill.app.users import user_app
from gristmill.identity import Permission
from gristmill.web.endpoints import Endpoint
from gristmill.web.routes import TABLES
from gristmill.web.v2_document import INFER_PATHS

REFERENCE = Path(__file__).parent / "reference"
INFERRING = [("POST", path, Permission.SERVICES_CONSUME, summary) for path, _, summary in INFER_PATHS]
SCORING = ("POST", "/api/{name}/{version}", Permission.SERVICES_CONSUME, "Call a service")


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def flag_rows(parameters: list[Any]) -> list[str]:
    rows = [row("flag", "default", "what"), "|---|---|---|"]
    for parameter in parameters:
        names = " / ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        rows.append(row(names, default(parameter), parameter.help or ""))
    return rows


def default(parameter: Any) -> str:
    """As it is typed on the command line."""
    if parameter.default is None or parameter.default == []:
        return ""
    if parameter.secondary_opts:
        return f"`{(parameter.opts if parameter.default else parameter.secondary_opts)[0]}`"
    if parameter.default is False:
        return "off"
    return f"`{getattr(parameter.default, 'value', parameter.default)}`"


def options_of(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "option" and p.name != "help" and not p.hidden]


def serve_flags() -> str:
    """A table for each group of flags."""
    commands: Any = typer.main.get_command(app)
    groups: dict[str, list[Any]] = {}
    for option in options_of(commands.commands["serve"]):
        groups.setdefault(option.rich_help_panel or "Other", []).append(option)
    parts = ["\n".join([f"### {group}", *flag_rows(options)]) for group, options in groups.items()]
    return "\n\n".join(parts)


def other_commands() -> str:
    """The remaining commands, each with its arguments and flags."""
    users: Any = typer.main.get_command(user_app)
    top: Any = typer.main.get_command(app)
    commands = {f"user {name}": command for name, command in users.commands.items()}
    for name, command in top.commands.items():
        if name != "serve":
            commands.update(leaves(name, command))
    return "\n\n".join(described(name, command) for name, command in commands.items())


def leaves(name: str, command: Any) -> dict[str, Any]:
    """The command itself, or all that are below a group."""
    inner = getattr(command, "commands", None)
    if not inner:
        return {name: command}
    return {path: leaf for key, each in inner.items() for path, leaf in leaves(f"{name} {key}", each).items()}


def described(name: str, command: Any) -> str:
    arguments = [p.name.upper() for p in command.params if p.param_type_name == "argument"]
    lines = [f"### `{' '.join(['gristmill', name, *arguments])}`", first_sentence(command.help), ""]
    return "\n".join(lines + flag_rows(options_of(command)))


def first_sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def operations() -> str:
    """A table for each group of operations."""
    groups: dict[str, list[tuple[str, str, str, str]]] = {}
    for endpoint in (endpoint for table in TABLES for endpoint in table):
        groups.setdefault(endpoint.tag, []).append(as_tuple(endpoint))
    groups["Services"].append(SCORING)
    groups["Open Inference Protocol"].extend(INFERRING)
    return "\n\n".join(operation_table(group, rows) for group, rows in groups.items())


def as_tuple(endpoint: Endpoint) -> tuple[str, str, str, str]:
    return endpoint.method, endpoint.path.replace(":path}", "}"), endpoint.allow, endpoint.summary


def operation_table(group: str, operations: list[tuple[str, str, str, str]]) -> str:
    rows = [f"### {group}", row("operation", "permission", "what"), "|---|---|---|"]
    for method, path, permission, summary in operations:
        rows.append(
            row(f"`{method} {path}`", "none" if permission == "public" else f"`{permission}`", summary)
        )
    return "\n".join(rows)


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "serve-flags": ("settings.md", serve_flags),
    "other-commands": ("settings.md", other_commands),
    "operations": ("rest.md", operations),
    "python-client": ("python.md", client_reference.render),
}


def updated(page: str, part: str, text: str) -> str:
    pattern = rf"(<!-- begin {part} -->\n).*?(<!-- end -->)"
    changed, count = re.subn(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"the part {part} has no place in its page")
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    check: bool = parser.parse_args().check
    stale = []
    for part, (name, render) in PARTS.items():
        path = REFERENCE / name
        before = path.read_text()
        after = updated(before, part, render())
        if after != before:
            stale.append(f"{path.name} ({part})")
            if not check:
                path.write_text(after)
    if check and stale:
        sys.exit(f"out of date: {', '.join(stale)}; run scripts/docs")


if __name__ == "__main__":
    main()
