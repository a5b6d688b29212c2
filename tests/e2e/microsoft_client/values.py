"""Inputs and outputs of every type, there and back."""

import numpy as np
import pandas as pd
from refusals import refused


def echo(x):
    print(type(x).__module__.split(".")[0], type(x).__name__)
    return x


def round_trip(client, kind, value, name=None):
    """What comes back of a value, and what its Python type was at the server."""
    name = name or "ms-echo-" + getattr(kind, "__name__", str(kind)).replace(".", "-").lower()
    service = client.deploy_service(name, code_fn=echo, inputs={"x": kind}, outputs={"y": kind})
    result = service.echo(value)
    assert result.error == ""
    return result.output("y"), result.console_output.strip()


def an_int_is_an_int(client):
    assert round_trip(client, int, -3) == (-3, "builtins int")
    assert round_trip(client, "int", 2**31 - 1) == (2**31 - 1, "builtins int")


def a_float_is_a_float_to_the_last_bit(client):
    value, kind = round_trip(client, float, 0.1 + 0.2)
    assert (value, kind, type(value)) == (0.1 + 0.2, "builtins float", float)


def a_bool_is_a_bool(client):
    value, kind = round_trip(client, bool, True)
    assert value is True
    assert kind == "builtins bool"


def a_str_is_a_str_in_any_script(client):
    assert round_trip(client, str, "zażółć 麦 \n\"'") == ("zażółć 麦 \n\"'", "builtins str")


def an_array_is_an_array(client):
    for given in (
        np.array([1.5, -2.0, 1e-300]),
        np.array([1, 2]),
        np.array([True, False]),
        np.array(["a", "ü"]),
    ):
        value, kind = round_trip(client, np.array, given)
        assert isinstance(value, np.ndarray)
        assert value.dtype.kind == given.dtype.kind
        assert (value == given).all()
        assert kind == "numpy ndarray"
    assert round_trip(client, "numpy.array", np.array([7]))[0].tolist() == [7]


def a_matrix_is_a_matrix(client):
    given = np.matrix([[1.5, 2.0, 3.0], [4.0, 5.0, 6.0]])
    value, kind = round_trip(client, np.matrix, given)
    assert isinstance(value, np.matrix)
    assert value.shape == (2, 3)
    assert (value == given).all()
    assert kind == "numpy ndarray"


def a_frame_is_a_frame_with_its_columns_in_order(client):
    given = pd.DataFrame(
        {"z": [1, 2], "a": [0.5, 1e300], "text": ["x", "ü"], "flag": [True, False]},
        columns=["z", "a", "text", "flag"],
    )
    value, kind = round_trip(client, pd.DataFrame, given)
    pd.testing.assert_frame_equal(value, given)
    assert kind == "pandas DataFrame"
    value, _ = round_trip(client, "pandas.DataFrame", given[["text"]])
    pd.testing.assert_frame_equal(value, given[["text"]])


def what_is_missing_in_a_frame_stays_missing(client):
    given = pd.DataFrame({"text": ["x", None], "n": [1, 2]})
    value, _ = round_trip(client, pd.DataFrame, given, "ms-missing")
    assert value["text"].isna().tolist() == [False, True]
    service = client.deploy_service(
        "ms-gap", code_str="import numpy\ny = numpy.array([1.0, numpy.nan])", outputs={"y": np.array}
    )
    assert service.consume().output("y").tolist() == [1.0, None]


def several_of_them_go_together_in_the_order_of_the_arguments(client):
    def together(frame, factor, name):
        return frame[name] * factor

    service = client.deploy_service(
        "ms-together",
        version="1",
        code_fn=together,
        inputs={"name": str, "frame": pd.DataFrame, "factor": float},
        outputs={"y": np.array},
    )
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    assert service.together(frame, 0.5, "b").output("y").tolist() == [1.5, 2.0]


def several_outputs_come_by_their_names(client):
    service = client.deploy_service(
        "ms-outputs",
        version="1",
        code_str="i = x\nf = x / 2\nt = x > 0\ns = str(x)\nimport numpy\nv = numpy.arange(x)",
        inputs={"x": int},
        outputs={"i": int, "f": float, "t": bool, "s": str, "v": np.array},
    )
    result = service.consume(3)
    assert result.output("v").tolist() == [0, 1, 2]
    assert {name: result.output(name) for name in "ifts"} == {"i": 3, "f": 1.5, "t": True, "s": "3"}
    assert result.raw_outputs == {"i": 3, "f": 1.5, "t": True, "s": "3", "v": [0, 1, 2]}


def a_value_of_another_type_is_400_naming_the_input(client):
    service = client.deploy_service(
        "ms-typed", version="1", code_fn=echo, inputs={"x": str}, outputs={"y": str}
    )
    status, message = refused(service.echo, 5)
    assert status == 400
    assert "'x'" in message or "x:" in message, message
    assert "character" in message
    assert service.echo("five").output("y") == "five"
