"""A function in a file of Python, published without running the file here."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from gristmill.client.errors import InvalidInput, NotPortable
from gristmill.client.parameters import DEFAULT_OUTPUT

__all__ = ["FoundFunction", "function_in_file"]


@dataclass(frozen=True)
class FoundFunction:
    """The file's text runs once, as init code; `call` at each call."""

    source: str
    call: str
    doc: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def function_in_file(
    path: Path, name: str, inputs: Optional[dict[str, Any]], outputs: Optional[dict[str, Any]]
) -> FoundFunction:
    """Find a function; types come from what is given, then from its annotations.

    Raises InvalidInput for a file or function that is not there, and for arguments without a type;
    NotPortable for a file that imports others of its folder.
    """
    try:
        text = path.read_text("utf-8-sig")
        tree = ast.parse(text)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise NotPortable(f"{path} does not parse: line {error.lineno}: {error.msg}") from None
    found = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == name]
    if not found:
        there = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
        raise InvalidInput(f"{path} has no function {name!r}; it has: {', '.join(there) or 'none'}")
    _check_imports(path, tree)
    function = found[-1]
    taken = _inputs(path, function, inputs or {})
    given = _outputs(function) if outputs is None else outputs
    keywords = {each.arg for each in function.args.kwonlyargs}
    arguments = ", ".join(f"{each}={each}" if each in keywords else each for each in taken)
    call = f"{name}({arguments})"
    return FoundFunction(
        source=_without_main(text, tree),
        call=f"{', '.join(given)} = {call}\n" if given else f"{call}\n",
        doc=ast.get_docstring(function) or "",
        inputs=taken,
        outputs=given,
    )


def _inputs(path: Path, function: ast.FunctionDef, given: dict[str, Any]) -> dict[str, Any]:
    arguments = function.args
    if arguments.vararg or arguments.kwarg:
        raise NotPortable(f"{path}: {function.name} takes * arguments; the inputs of a service have names")
    positional = [*arguments.posonlyargs, *arguments.args]
    optional = {each.arg for each in positional[len(positional) - len(arguments.defaults) :]}
    optional |= {each.arg for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults) if value}
    made: dict[str, Any] = {}
    for each in [*positional, *arguments.kwonlyargs]:
        if each.arg in given:
            made[each.arg] = given[each.arg]
        elif each.annotation is not None:
            made[each.arg] = ast.unparse(each.annotation)
        elif each.arg not in optional:
            raise InvalidInput(
                f"{path}: the input {each.arg!r} of {function.name} has no type; annotate it, or name it "
                "under [inputs]"
            )
    surplus = [each for each in given if each not in made]
    if surplus:
        raise InvalidInput(f"{path}: {function.name} has no argument {surplus[0]!r}")
    return made


def _outputs(function: ast.FunctionDef) -> dict[str, Any]:
    returns = function.returns
    if returns is None or (isinstance(returns, ast.Constant) and returns.value is None):
        return {}
    return {DEFAULT_OUTPUT: ast.unparse(returns)}


def _check_imports(path: Path, tree: ast.Module) -> None:
    """The server does not have the folder."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if not node.level else [f".{node.module or ''}"]
        for name in names:
            first = name.lstrip(".").split(".")[0]
            beside = path.parent / first
            if name.startswith(".") or (first and (beside.with_suffix(".py").exists() or beside.is_dir())):
                raise NotPortable(
                    f"{path}, line {getattr(node, 'lineno', 0)}: {name} lies in this folder, not there; "
                    f"put what is used of it into {path.name}"
                )


def _without_main(text: str, tree: ast.Module) -> str:
    """The text without `if __name__ == "__main__":` blocks, which are for running the file by hand."""
    lines = text.splitlines(keepends=True)
    for node in tree.body:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = "\n"
    return "".join(lines)
