"""Pickles of Python 3.7 at a server of today: what loads, what is refused, what ends the interpreter."""

import collections
import copy
import ctypes
import datetime
import decimal
import functools
import re

import numpy as np
import pandas as pd
from azureml.deploy.server.services import SessionService
from refusals import refused
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

ROWS = np.random.RandomState(0).rand(30, 2)
LABELS = (ROWS.sum(axis=1) > 1).astype(int)
Point = collections.namedtuple("Point", "x y")


class Scorer:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, rows):
        return rows * self.factor


def double(x):
    return x * 2


def maker(k):
    def made(x):
        return x * k

    return made


def each_gives_there_what_it_gives_here(client, name, cases):
    """`cases` are objects by the expressions that use them as `x`."""
    objects = {f"object{number}": value for number, value in enumerate(cases.values())}
    uses = ", ".join(f"(lambda x: {use})(object{number})" for number, use in enumerate(cases))
    service = client.deploy_service(
        name, version="1", code_str=f"y = repr([{uses}])", outputs={"y": str}, objects=objects
    )
    result = service.consume()
    assert result.error == ""
    here = []
    for use, value in cases.items():
        here.append(eval(use, {"x": copy.deepcopy(value)}))  # a random state changes as it is used
    assert result.output("y") == repr(here)


def each_is_refused(client, *cases):
    """Each value must be a 400 that names it and gives these reasons; the session lives on."""
    sessions = SessionService(client._http_client)
    session = sessions.create_session().session_id
    for value, *reasons in cases:
        status, message = refused(sessions.set_workspace_object, session, "odd_one", value)
        assert status == 400, (status, message)
        for reason in ("'odd_one'", "Python 3.", *reasons):
            assert reason in message, message
    assert client._http_client.get("/sessions/" + session + "/workspace").json() == []
    sessions.close_session(session)


def plain_objects_and_those_of_the_standard_library_travel(client):
    cases = {
        "sorted(x)": {1, 2},
        "x": {"a": [1, 2.5, None], "ż": (b"\x00\xff", True)},
        "x + 1": 10**40,
        "x.y": Point(1, 2),
        "x.findall('caat')": re.compile("a+"),
        "str(x * 2)": decimal.Decimal("1.50"),
        "x.isoformat()": datetime.date(2020, 2, 29),
        "list(x)": collections.OrderedDict([("b", 1), ("a", 2)]),
        "x(5)": functools.partial(pow, 2),
        "x('abc')": len,
        "x()": dict,
    }
    each_gives_there_what_it_gives_here(client, "ms-plain", cases)


def arrays_of_every_kind_travel(client):
    cases = {
        "x.sum().item()": np.arange(3.0),
        "x.dtype.str": np.arange(3, dtype="int32"),
        "x.tolist()": np.array(["a", "bc"]),
        "x.shape": np.matrix([[1, 2]]),
        "list(x)": np.array([{"k": 1}, None], dtype=object),
        "str(x[0])": np.array(["2020-01-01"], dtype="datetime64[D]"),
        "float(x)": np.float32(0.5),
        "x['b'].tolist()": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        "x.randint(99, size=3).tolist()": np.random.RandomState(3),
    }
    each_gives_there_what_it_gives_here(client, "ms-arrays", cases)


def models_whose_layout_has_not_changed_travel(client):
    models = {
        "logistic": LogisticRegression().fit(ROWS, LABELS),
        "scaled": make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS),
        "svc": SVC().fit(ROWS, LABELS),
    }
    service = client.deploy_service(
        "ms-models",
        version="1",
        code_str="logistic, scaled, svc = [each.predict(x) for each in (logistic, scaled, svc)]",
        models=models,
        inputs={"x": np.matrix},
        outputs=dict.fromkeys(models, np.array),
    )
    result = service.consume(np.matrix(ROWS))
    for name, model in models.items():
        assert result.output(name).tolist() == model.predict(ROWS).tolist()


def models_are_refused_whose_layout_or_modules_have_changed(client):
    each_is_refused(
        client,
        (DecisionTreeClassifier().fit(ROWS, LABELS), "node array", "sklearn 1."),
        (RandomForestRegressor(3).fit(ROWS, LABELS), "node array", "sklearn 1."),
        (GradientBoostingRegressor(n_estimators=2).fit(ROWS, LABELS), "sklearn.ensemble._gb_losses"),
        (KNeighborsClassifier().fit(ROWS, LABELS), "EuclideanDistance"),
    )


def pandas_objects_are_refused(client):
    each_is_refused(
        client,
        (pd.DataFrame({"a": [1, 2]}), "pandas "),
        ({"deep": [pd.DataFrame({"a": [1, 2]})]}, "pandas "),
        (pd.Index([1, 2]), "pandas.core.indexes.numeric", "pandas "),
    )


def functions_and_classes_are_refused_as_byte_code_of_another_python(client):
    transformer = FunctionTransformer(lambda x: x * 2)
    values = (double, lambda x: x, maker(3), functools.partial(double, 1), double.__code__, Scorer, Scorer(2))
    values += (Scorer(2).predict, {"deep": [Scorer(1)]}, make_pipeline(transformer))
    each_is_refused(client, *[(value, "another version of Python compiled", "source") for value in values])


def publishing_with_what_cannot_be_loaded_leaves_nothing_behind(client):
    before = client._http_client.get("/sessions").json()
    status, message = refused(
        client.deploy_service, "ms-refused", version="1", code_str="y = 1", models={"odd_one": Scorer(1)}
    )
    assert (status, "'odd_one'" in message) == (400, True), message
    assert client.list_services("ms-refused") == []
    assert client._http_client.get("/sessions").json() == before


def an_object_that_ends_the_interpreter_costs_its_call_and_no_more(client):
    service = client.deploy_service(
        "ms-crash",
        version="1",
        code_str="y = crash() if really else 'unharmed'",
        objects={"crash": functools.partial(ctypes.string_at, 0)},  # loads well, and reads address 0
        inputs={"really": bool},
        outputs={"y": str},
    )
    assert service.consume(False).output("y") == "unharmed"
    crashed = service.consume(True)
    assert "SIGSEGV" in crashed.error
    assert crashed.outputs == {"y": None}
    for _ in range(3):
        assert service.consume(False).output("y") == "unharmed"


class EndsTheInterpreter:
    """Its pickle does it when it is loaded."""

    def __reduce__(self):
        return ctypes.string_at, (0,)


def an_object_that_ends_the_interpreter_when_it_loads_costs_the_session(client):
    before = client._http_client.get("/sessions").json()
    status, _message = refused(
        client.deploy_service,
        "ms-bomb",
        version="1",
        code_str="y = 1",
        objects={"bomb": EndsTheInterpreter()},
    )
    assert status in (410, 503)
    assert client.list_services("ms-bomb") == []
    assert client._http_client.get("/sessions").json() == before
    service = client.deploy_service("ms-after-bomb", version="1", code_str="y = 1", outputs={"y": int})
    assert service.consume().output("y") == 1
