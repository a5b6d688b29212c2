"""Services made of functions and of blocks of code, with models, objects, an alias, or no version."""

import re

import numpy as np
from refusals import refused
from sklearn.linear_model import LinearRegression

# What the functions below use besides their arguments is sent along with them, or made by init code.
factor = 0
names = ["a", "b"]
rows_seen = np.random.RandomState(1).rand(20, 3)
model = LinearRegression().fit(rows_seen, rows_seen.sum(axis=1) + 1)
offset = np.array([0.5])


def add(x, y):
    return x + y


def scaled(x):
    return x * factor + len(names)


def set_factor():
    global factor
    factor = 10


def predicted(rows):
    import numpy

    return numpy.asarray(model.predict(rows)) + offset


def kept(by):
    """Sessions and snapshots of this user that the server holds."""
    return [by._http_client.get(path).json() for path in ("/sessions", "/snapshots")]


def a_function_becomes_a_service_called_by_its_name(client):
    service = client.deploy_service(
        "ms-add",
        version="v1.0.0",
        code_fn=add,
        inputs={"x": float, "y": int},
        outputs={"answer": float},
        description="adds two numbers",
    )
    result = service.add(1.5, 2)
    assert result.output("answer") == 3.5
    assert result.error == ""
    assert result.api == "/api/ms-add/v1.0.0"
    assert "adds two numbers" in type(service).add.__doc__
    assert service.capabilities()["operation_id"] == "add"


def an_init_function_runs_first_and_objects_are_there(client):
    service = client.deploy_service(
        "ms-init",
        version="1",
        code_fn=scaled,
        init_fn=set_factor,
        objects={"names": names},
        inputs={"x": int},
        outputs={"y": int},
    )
    assert service.scaled(4).output("y") == 42
    assert service.scaled(5).output("y") == 52


def a_block_of_code_with_its_init_is_called_by_consume(client):
    service = client.deploy_service(
        "ms-block",
        version="1",
        init_str="import math\nunit = 'm'",
        code_str="area = math.pi * radius ** 2\ntext = '%.2f %s2' % (area, unit)",
        inputs={"radius": float},
        outputs={"area": float, "text": str},
    )
    result = service.consume(2.0)
    assert abs(result.output("area") - 12.566370614359172) < 1e-15
    assert result.output("text") == "12.57 m2"


def a_model_of_scikit_learn_answers_as_it_does_here(client):
    service = client.deploy_service(
        "ms-model",
        version="1",
        code_fn=predicted,
        models={"model": model},
        objects={"offset": offset},
        inputs={"rows": np.matrix},
        outputs={"y": np.array},
    )
    scores = service.predicted(np.matrix(rows_seen)).output("y")
    assert np.allclose(scores, model.predict(rows_seen) + 0.5, rtol=1e-14)


def a_service_without_inputs_or_outputs_can_be_called(client):
    service = client.deploy_service("ms-nothing", version="1", code_str="print('done')")
    result = service.consume()
    assert (result.error, result.outputs, result.console_output) == ("", {}, "done\n")


def an_alias_names_the_method(client):
    service = client.deploy_service(
        "ms-alias", version="1", code_fn=add, alias="plus", inputs={"x": int, "y": int}, outputs={"z": int}
    )
    assert service.plus(2, 3).output("z") == 5
    assert not hasattr(service, "add")


def without_a_version_it_gets_one_and_is_the_latest(client):
    first = client.deploy_service("ms-unnamed", code_str="y = 1", outputs={"y": int})
    second = client.deploy_service("ms-unnamed", code_str="y = 2", outputs={"y": int})
    versions = [service.capabilities()["version"] for service in (first, second)]
    assert all(re.match(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", version) for version in versions)
    assert [service.consume().output("y") for service in (first, second)] == [1, 2]
    assert client.get_service("ms-unnamed").consume().output("y") == 2
    assert [each["version"] for each in client.list_services("ms-unnamed")] == versions


def the_same_version_twice_is_409_and_leaves_nothing_behind(client):
    client.deploy_service("ms-twice", version="1", code_str="y = 1", outputs={"y": int})
    before = kept(client)
    status, message = refused(client.deploy_service, "ms-twice", version="1", code_str="y = 2")
    assert status == 409
    assert "ms-twice" in message
    assert client.get_service("ms-twice", version="1").consume().output("y") == 1
    assert kept(client) == before


def code_that_does_not_parse_is_400_naming_the_line(client):
    status, message = refused(client.deploy_service, "ms-broken", version="1", code_str="x = 1\ny = (")
    assert status == 400
    assert "line 2" in message
    assert client.list_services("ms-broken") == []


def the_fluent_way_of_saying_it_works_too(client):
    service = (
        client.service("ms-fluent")
        .version("1")
        .description("fluent")
        .code_fn(scaled, set_factor)
        .objects(names=["a"])
        .inputs(x=float)
        .outputs(y=float)
        .alias("scale")
        .deploy()
    )
    assert service.scale(1.5).output("y") == 16.0
    again = client.service("ms-fluent").version("1").code_str("y = x").description("changed").redeploy()
    assert again.capabilities()["description"] == "changed"
    assert again.capabilities()["public-functions"]["scale"] == "scale(self,x)"
