"""Init code: what came with functions (imports, other functions), then what the author wrote himself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gristmill.client.errors import InvalidInput, NotPortable
from gristmill.client.names import names_of
from gristmill.client.needs import complain, needs_of, surroundings, unmet
from gristmill.client.sources import Source, read_source

__all__ = ["FUTURE", "Init", "imports_of", "make_init"]

#: Annotations are for people and types; on the server nothing is to evaluate them.
FUTURE = "from __future__ import annotations"
_BEGIN = "# gristmill: what came with the functions"
_END = "# gristmill: end"


@dataclass(frozen=True)
class Init:
    """The parts of a service's init code."""

    imports: tuple[str, ...] = ()
    helpers: str = ""
    own: str = ""

    @staticmethod
    def parse(text: str) -> Init:
        """The parts of init code that `render` has written; of any other, it is all the author's own."""
        before, begin, rest = text.partition(_BEGIN + "\n")
        inside, end, own = rest.partition(_END + "\n")
        if before or not begin or not end:
            return Init(own=text)
        imports, _, helpers = inside.partition("\n\n")
        lines = tuple(line for line in imports.splitlines() if line)
        return Init(lines, helpers.strip("\n"), own)

    def render(self) -> str:
        """The whole text; empty if there is nothing to say."""
        if not self.imports and not self.helpers:
            return self.own
        first = sorted(set(self.imports), key=lambda line: (line != FUTURE, line))
        return "\n".join([_BEGIN, *first, "", self.helpers, _END]) + "\n" + self.own

    def with_imports(self, lines: Iterable[str]) -> Init:
        """The same with more imports."""
        return replace(self, imports=tuple(dict.fromkeys((*self.imports, *lines))))

    @property
    def sets(self) -> frozenset[str]:
        """Names that are there once it ran."""
        return names_of(self.render(), what="the init code").sets


def make_init(
    init: str | Callable[..., Any] | None,
    helpers: Mapping[str, Callable[..., Any]] | None,
    *,
    given: Collection[str],
    before: Init,
    check: bool,
) -> Init:
    """Init code for Python: the helpers' sources, then a text, or a function and its call.

    given: names of the objects that travel. before: what the service has, kept where nothing new is given
    (None). Raises NotPortable for names that would not be there.
    """
    imports: list[str] = list(before.imports)
    kept, own = before.helpers, before.own
    known = {*given, *names_of(before.render()).sets}
    if helpers is not None:
        sources = {name: read_source(helper) for name, helper in helpers.items()}
        known |= set(sources)
        for source in sources.values():
            imports += imports_of(source, known, check=check)
        kept = "\n\n".join(_as_name(source, name) for name, source in sources.items())
        imports += [FUTURE] if any(source.annotated for source in sources.values()) else []
    if callable(init):
        source = read_source(init)
        if source.parameters:
            raise NotPortable(f"the init function {source.name} takes arguments; it is called without any")
        imports += imports_of(source, known, check=check)
        own = f"{source.text}\n{source.name}()\n"
    elif isinstance(init, str):
        own = init
        if check:
            unmet(init, known, what="the init code")
    elif init is not None:
        raise InvalidInput(
            f"init is a {type(init).__name__}; expected a function without arguments, or a text"
        )
    return Init(tuple(dict.fromkeys(imports)), kept, own)


def imports_of(source: Source, given: Collection[str], *, check: bool) -> tuple[str, ...]:
    """Import lines that a function needs; raises NotPortable for all else that it needs."""
    needs = needs_of(names_of(source.text, what=source.name), surroundings(source.function), given)
    if needs.missing and check:
        raise complain(source.name, needs.missing)
    return needs.imports


def _as_name(source: Source, name: str) -> str:
    text = source.text.rstrip("\n")
    return text if source.name == name else f"{text}\n\n{name} = {source.name}"
