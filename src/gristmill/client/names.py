"""The names that a piece of Python reads and does not set itself: what it needs of its surroundings."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator
from dataclasses import dataclass

from gristmill.client.errors import NotPortable

__all__ = ["BUILTINS", "Names", "names_of"]

#: What every Python has; IPython puts two more among the builtins, which only it has.
BUILTINS = (frozenset(dir(builtins)) | {"__annotations__", "__builtins__", "__file__", "__name__"}) - {
    "display",
    "get_ipython",
}


@dataclass(frozen=True)
class Names:
    """What a block of code reads, sets, and is looser about.

    reads: names that must come from elsewhere, without the builtins. sets: names that are there after it ran.
    chains: of each name, the dotted attributes asked of it (`{"sklearn": {("linear_model", "Ridge")}}`).
    open: it imports * or runs code of its own making, so that it may set any name.
    """

    reads: frozenset[str]
    sets: frozenset[str]
    chains: dict[str, frozenset[tuple[str, ...]]]
    open: bool


def names_of(code: str, *, what: str = "the code") -> Names:
    """Read the names of a block. Raises NotPortable naming the line if it does not parse."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        raise NotPortable(f"{what} does not parse: line {error.lineno}: {error.msg}") from None
    # Annotations are not evaluated on the server, so that their names are not needed there.
    bare = ast.unparse(_WithoutAnnotations().visit(ast.parse(code)))
    reads, sets = _read_and_set(symtable.symtable(bare, "<code>", "exec"))
    return Names(
        reads=frozenset(reads - sets - BUILTINS),
        sets=frozenset(sets),
        chains=_chains(tree),
        open=_is_open(tree),
    )


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.copy_location(ast.Constant(value=None), node)
        return self.generic_visit(node)


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _read_and_set(top: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    reads: set[str] = set()
    sets: set[str] = set()
    for table in _tables(top):
        for symbol in table.get_symbols():
            name = symbol.get_name()
            set_here = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if table is top:
                (sets if set_here else reads).add(name)
            elif symbol.is_global():
                if symbol.is_declared_global() and set_here:
                    sets.add(name)
                elif symbol.is_referenced():
                    reads.add(name)
    reads.discard("__class__")
    return reads, sets


def _chains(tree: ast.AST) -> dict[str, frozenset[tuple[str, ...]]]:
    found: dict[str, set[tuple[str, ...]]] = {}
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name):
            found.setdefault(inner.id, set()).add(tuple(reversed(parts)))
    return {name: frozenset(chains) for name, chains in found.items()}


def _is_open(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"exec", "globals"}
        ):
            return True
    return False
