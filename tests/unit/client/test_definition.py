"""From a function or a text to what is published: nothing is sent here."""

# The functions are published, not called: names of theirs are missing on purpose.
# mypy: disable-error-code="name-defined, no-any-return, misc, no-untyped-def"

from __future__ import annotations

import functools
import linecache
import math
import os.path
import xml.etree.ElementTree as ET
from collections import OrderedDict
from math import sqrt as root
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gristmill.client.definition as definitions
from gristmill.client import Frame
from gristmill.client.definition import define
from gristmill.client.errors import InvalidInput, NotPortable
from gristmill.schema import Form, Parameter, ParameterType
from tests.unit.client import helpers

SAMPLE = pd.DataFrame({"a": [1.0], "b": [2]})
LIMIT = 3


def ran(definition: definitions.Definition, **inputs: Any) -> dict[str, Any]:
    """The namespace after init code and code ran as in a shell, with nothing of this module."""
    namespace: dict[str, Any] = {"__name__": "shell", **definition.objects}
    exec(compile(definition.init_code or "", "<init>", "exec", dont_inherit=True), namespace)
    namespace.update(inputs)
    exec(compile(definition.code or "", "<code>", "exec", dont_inherit=True), namespace)
    return namespace


def double(rows: pd.DataFrame) -> np.ndarray:
    """Twice the first column.

    And no more.
    """
    return 2 * rows.iloc[:, 0].to_numpy()


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.fillna(LIMIT)


def uses_everything(rows: pd.DataFrame) -> float:
    cleaned = clean(rows)
    return root(np.abs(cleaned.to_numpy()).sum()) + model.bias


model = type("Model", (), {"bias": 0.5, "predict": lambda self, x: x})()


def test_a_functions_source_travels_with_a_call_that_sets_the_output() -> None:
    made = define(double)
    assert made.alias == "double"
    assert made.description == "Twice the first column.\n\nAnd no more."
    assert made.inputs == (Parameter("rows", ParameterType.DATA_FRAME),)
    assert made.outputs == (Parameter("result", ParameterType.VECTOR),)
    assert made.code is not None
    assert made.code.endswith("\nresult = double(rows)\n")
    assert ran(made, rows=SAMPLE)["result"].tolist() == [2.0]


def test_all_that_is_missing_is_told_at_once_with_the_way_to_send_it() -> None:
    with pytest.raises(NotPortable) as raised:
        define(uses_everything)
    text = str(raised.value)
    assert "uses_everything uses names that would not be there on the server; nothing was sent:" in text
    assert 'clean  is a function of yours: pass it with objects={"clean": clean}' in text
    assert 'pass it with models={"model": model}' in text
    assert raised.value.parameter == "clean"


def test_a_function_among_the_objects_travels_as_its_source_and_is_looked_through_too() -> None:
    with pytest.raises(
        NotPortable, match=r"clean uses names.*\n  LIMIT  is int 3 here: .*objects=.\"LIMIT\": LIMIT"
    ):
        define(uses_everything, models={"model": model}, objects={"clean": clean})
    made = define(uses_everything, models={"model": model}, objects={"clean": clean, "LIMIT": LIMIT})
    assert set(made.objects) == {"model", "LIMIT"}
    assert ran(made, rows=SAMPLE)["result"] == pytest.approx(math.sqrt(3) + 0.5)


def test_modules_and_names_of_installed_packages_are_imported_and_it_says_so() -> None:
    made = define(uses_everything, models={"model": model}, objects={"clean": clean, "LIMIT": 1})
    assert set(made.notes) == {
        "added to the init code: from math import sqrt as root",
        "added to the init code: import numpy as np",
    }


def test_submodules_that_are_reached_through_a_package_are_imported_too() -> None:
    def tag(text: str) -> str:
        return os.path.join(ET.fromstring(text).tag, str(OrderedDict()))

    made = define(tag)
    assert ran(made, text="<a/>")["result"] == "a/OrderedDict()"
    assert "import xml.etree.ElementTree as ET" in (made.init_code or "")


def test_a_module_of_ones_own_is_not_importable_there() -> None:
    def other() -> int:
        return helpers.three()

    with pytest.raises(
        NotPortable, match=r"helpers  is a module of yours \(.*helpers.py\): pass what is used"
    ):
        define(other)


def test_a_name_that_is_nowhere_is_told_with_one_that_is_alike() -> None:
    def wrong(rows: float) -> float:
        return rows + LIMMIT  # noqa: F821

    with pytest.raises(NotPortable, match="LIMMIT  is defined nowhere; is LIMIT meant"):
        define(wrong)


def test_variables_of_a_function_around_it_count_as_its_surroundings() -> None:
    offset = 4

    def shifted(x: float) -> float:
        return x + offset

    with pytest.raises(NotPortable, match="offset  is int 4 here"):
        define(shifted)
    assert ran(define(shifted, objects={"offset": offset}), x=1.0)["result"] == 5.0


def test_check_can_be_left_out() -> None:
    assert define(uses_everything, check=False).alias == "uses_everything"


def test_init_code_may_be_a_text_or_a_function_and_gives_names() -> None:
    def prepare() -> None:
        global table  # noqa: PLW0603
        table = {"a": 1}

    def look(key: str) -> int:
        return table[key]

    for init in (prepare, "table = {'a': 1}"):
        assert ran(define(look, init=init), key="a")["result"] == 1
    with pytest.raises(NotPortable, match=r"the init code uses names.*\n  lod  is defined nowhere"):
        define(look, init="table = lod()")
    with pytest.raises(NotPortable, match="takes arguments; it is called without any"):
        define(look, init=look)


def test_several_outputs_are_a_tuple_in_their_order() -> None:
    def both(x: float):
        return x, -x

    made = define(both, outputs={"plus": float, "minus": float})
    namespace = ran(made, x=2.0)
    assert (namespace["plus"], namespace["minus"]) == (2.0, -2.0)


def test_an_output_that_the_function_makes_global_is_not_unpacked() -> None:
    def one(x: float) -> float:
        global aside  # noqa: PLW0603
        aside = -x
        return x

    namespace = ran(define(one, outputs={"main": float, "aside": float}), x=2.0)
    assert (namespace["main"], namespace["aside"]) == (2.0, -2.0)


def test_arguments_without_type_are_named_and_defaults_left_alone() -> None:
    def scaled(x, *, by=2.0):
        return x * by

    with pytest.raises(InvalidInput, match="the input 'x' has no type; annotate the argument"):
        define(scaled)
    made = define(scaled, inputs={"x": float}, outputs={"y": float})
    assert [each.name for each in made.inputs or ()] == ["x"]
    assert ran(made, x=1.5)["y"] == 3.0
    made = define(scaled, inputs={"x": 1.0, "by": 1}, outputs={"y": float})
    assert made.code is not None
    assert "y = scaled(x, by=by)" in made.code
    with pytest.raises(InvalidInput, match="no argument 'z'; there are: x, by"):
        define(scaled, inputs={"z": float})


def test_a_sample_frame_gives_type_and_columns() -> None:
    made = define(double, inputs=SAMPLE)
    assert made.inputs == (Parameter("rows", ParameterType.DATA_FRAME, ("a", "b")),)
    made = define(double, inputs=Frame(SAMPLE, array=True), check=False)
    assert made.inputs == (Parameter("rows", ParameterType.DATA_FRAME, ("a", "b"), Form.ARRAY),)


def test_a_frame_with_a_column_for_each_argument_gives_scalars() -> None:
    def add(b, a):
        return a + b

    made = define(add, inputs=SAMPLE, outputs={"sum": float})
    assert made.inputs == (Parameter("b", ParameterType.INTEGER), Parameter("a", ParameterType.NUMERIC))
    with pytest.raises(InvalidInput, match=r"has 2 arguments .b, a. and inputs is one sample"):
        define(add, inputs=SAMPLE[["a"]], outputs={"sum": float})


def test_a_text_of_code_is_sent_as_it_is_once_its_names_are_sure() -> None:
    made = define("y = model.predict(x)", models={"model": model}, inputs={"x": float}, outputs={"y": float})
    assert made.code == "y = model.predict(x)"
    assert made.alias is None
    with pytest.raises(
        NotPortable, match=r"the code uses names.*\n  modell  is defined nowhere; is model meant"
    ):
        define("y = modell.predict(x)", models={"model": model}, inputs={"x": float})
    with pytest.raises(NotPortable, match="never sets the output 'z'"):
        define("y = x", inputs={"x": float}, outputs={"z": float})


def test_code_of_r_is_left_to_the_server() -> None:
    made = define("y <- x + 1", runtime="R", inputs={"x": "numeric"}, outputs={"y": "numeric"}, init="z <- 1")
    assert (made.code, made.init_code) == ("y <- x + 1", "z <- 1")
    with pytest.raises(InvalidInput, match="cannot run as a service of R"):
        define(double, runtime="R")
    with pytest.raises(InvalidInput, match="cannot prepare a service of R"):
        define("y <- 1", runtime="R", init=double)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (lambda x: x, "a lambda has neither a name nor a source"),
        (functools.partial(double), "functools.partial"),
        (SAMPLE.sum, "a method of an object"),
        (pd.DataFrame, "it is a class"),
        (len, "it is built in"),
        (3, "it is a int, not a function"),
    ],
)
def test_what_is_no_plain_function_is_refused_with_what_to_do(code: Any, why: str) -> None:
    with pytest.raises(NotPortable, match=why):
        define(code)


def test_functions_that_cannot_run_as_one_call_are_refused() -> None:
    async def later() -> int:
        return 1

    def several():
        yield 1

    def stars(*rows: float) -> float:
        return sum(rows)

    def counting() -> int:
        nonlocal counted
        counted = 1
        return 1

    counted = 0
    for code, why in (
        (later, "asynchronous"),
        (several, "generator"),
        (stars, r"takes \*rows"),
        (counting, "cannot stand alone"),
        (helpers.Three.of, "defined in the class Three"),
    ):
        with pytest.raises(NotPortable, match=why):
            define(code)


def test_a_function_typed_at_a_prompt_has_no_source_to_send() -> None:
    namespace: dict[str, Any] = {}
    exec("def typed(x): return x", namespace)
    with pytest.raises(NotPortable, match=r"the source of typed cannot be found.*publish its code as a text"):
        define(namespace["typed"])


def test_a_function_of_a_notebooks_cell_has_its_source_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def cell(x: float) -> float:\n    return x * k\n"
    monkeypatch.setitem(linecache.cache, "<cell 1>", (len(text), None, text.splitlines(True), "<cell 1>"))
    namespace: dict[str, Any] = {"__name__": "__main__", "k": 3}
    exec(compile(text, "<cell 1>", "exec"), namespace)
    with pytest.raises(NotPortable, match="k  is int 3 here"):
        define(namespace["cell"])
    assert ran(define(namespace["cell"], objects={"k": 3}), x=2.0)["result"] == 6.0


def test_a_file_that_changed_since_it_was_loaded_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "changing.py"
    path.write_text("def first(x): return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import changing  # type: ignore[import-not-found]

    path.write_text("def second(x): return x\n")
    with pytest.raises(NotPortable, match="is not its definition: its file may have changed"):
        define(changing.first)


def test_objects_need_names_that_code_can_use_and_have_only_one_place() -> None:
    with pytest.raises(InvalidInput, match="'my model' is no name"):
        define("y = 1", models={"my model": 1})
    with pytest.raises(InvalidInput, match="'m' is among the models and among the objects"):
        define("y = 1", models={"m": 1}, objects={"m": 2})
    with pytest.raises(InvalidInput, match="models is a list; expected names and values"):
        define("y = 1", models=[model])  # type: ignore[arg-type]


def test_a_redeploy_keeps_what_is_not_given() -> None:
    first = define(
        uses_everything, models={"model": model}, objects={"clean": clean, "LIMIT": 1}, init="k = 1"
    )
    again = define(double, known=first.init_code)
    assert again.init_code is None
    assert again.artifacts is None
    assert again.request(None).keys() == {
        "runtimeType", "code", "operationId", "description",
        "inputParameterDefinitions", "outputParameterDefinitions",
    }  # fmt: skip
    other = define(None, models={"model": 1}, known=first.init_code)
    assert other.init_code is not None
    assert "def clean" not in other.init_code
    assert other.init_code.endswith("k = 1")
    described = define(None, description="better", known=first.init_code)
    assert described.request(None) == {"runtimeType": "Python", "description": "better"}


def test_at_a_redeploy_of_code_alone_names_of_objects_already_there_are_let_pass() -> None:
    assert define("y = model(x) + helper", known="k = 1", outputs={"y": float}).code
    made = define(uses_everything, known="k = 1")
    assert made.init_code is not None
    assert made.init_code.startswith(
        "# gristmill: what came with the functions\nfrom math import sqrt as root"
    )
    assert made.init_code.endswith("# gristmill: end\nk = 1")
