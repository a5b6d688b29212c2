"""What a piece of code reads and sets."""

from __future__ import annotations

import pytest

from gristmill.client.errors import NotPortable
from gristmill.client.names import names_of


def test_reads_are_found_in_every_scope_but_not_what_the_code_sets() -> None:
    code = """
def f(x, y=default):
    import os
    def inner(a):
        return a + x + outer
    class K(Base):
        value = of_class
        def method(self):
            return of_method
    pairs = [(q, of_comprehension) for q in x if q]
    return (lambda t: t + of_lambda)(1), {k: v for k, v in pairs}, os.sep, inner, K, len
"""
    names = names_of(code)
    assert names.reads == {
        "default", "outer", "Base", "of_class", "of_method", "of_comprehension", "of_lambda"
    }  # fmt: skip
    assert names.sets == {"f"}


def test_decorators_are_read_and_annotations_are_not() -> None:
    names = names_of(
        "@deco(k)\ndef f(x: pd.DataFrame, *, y: 'T' = 1) -> np.ndarray:\n    z: Local = x\n    return z"
    )
    assert names.reads == {"deco", "k"}


def test_a_global_that_the_function_sets_is_there_afterwards() -> None:
    names = names_of("def f():\n    global model, other\n    model = load()\n    return other\nf()")
    assert names.reads == {"load", "other"}
    assert names.sets == {"f", "model"}


def test_walrus_except_with_for_and_star_targets_are_set() -> None:
    code = "for a, *b in rows:\n  pass\nwith g() as c:\n  pass\ntry:\n  pass\nexcept E as d:\n  pass"
    code += "\n(e := 1)\nimport f.g as h, i.j"
    assert names_of(code).sets == {"a", "b", "c", "d", "e", "h", "i"}
    assert names_of(code).reads == {"rows", "g", "E"}


def test_attributes_asked_of_a_name_are_kept_as_chains() -> None:
    names = names_of("sklearn.linear_model.Ridge().fit(x)\nnp.log(y)")
    assert names.chains["sklearn"] == {("linear_model", "Ridge"), ("linear_model",)}
    assert names.chains["np"] == {("log",)}


@pytest.mark.parametrize("code", ["from math import *\nsin(x)", "exec('y = 1')\ny", "globals()['y'] = 1\ny"])
def test_code_that_may_set_any_name_is_open(code: str) -> None:
    assert names_of(code).open


def test_builtins_of_python_are_known_and_those_of_a_notebook_are_not() -> None:
    assert names_of("print(len(display(get_ipython())), __name__)").reads == {"display", "get_ipython"}


def test_code_that_does_not_parse_names_the_line() -> None:
    with pytest.raises(NotPortable, match="the code does not parse: line 2"):
        names_of("x = 1\ny = (")
