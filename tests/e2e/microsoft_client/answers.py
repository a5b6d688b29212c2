"""What a call brings besides its outputs: files, console output, errors of the user's code."""

import contextlib

from refusals import refused


def draw(n):
    with open("table.csv", "w") as file:
        file.write("a\n" + "1\n" * n)
    with open("picture.bin", "wb") as file:
        file.write(bytes(range(256)))
    with open("undeclared.txt", "w") as file:
        file.write("not asked for")
    return n


def talk(times):
    for each in range(times):
        print("zażółć", each)
    return times


def fail(x):
    total = 1
    return total / x


def declared_files_come_back_as_artifacts(client):
    service = client.deploy_service(
        "ms-files",
        version="1",
        code_fn=draw,
        inputs={"n": int},
        outputs={"m": int},
        artifacts=["table.csv", "picture.bin", "never.txt"],
    )
    result = service.draw(2)
    assert result.artifact("table.csv", encoding="utf-8") == "a\n1\n1\n"
    assert result.artifact("picture.bin") == bytes(range(256))
    assert result.artifact("picture.bin", decode=False).startswith("AAECAwQF")
    assert result.artifact("never.txt") is None
    assert "undeclared.txt" not in result.artifacts
    assert service.draw(0).artifact("table.csv") == b"a\n"
    assert service.capabilities()["artifacts"] == ["table.csv", "picture.bin", "never.txt"]


def what_the_code_prints_is_the_console_output_of_that_call(client):
    service = client.deploy_service(
        "ms-console", version="1", code_fn=talk, inputs={"times": int}, outputs={"y": int}
    )
    assert service.talk(2).console_output == "zażółć 0\nzażółć 1\n"
    assert service.talk(0).console_output == ""


def an_error_of_the_code_is_told_with_its_line_and_the_next_call_works(client):
    service = client.deploy_service(
        "ms-error", version="1", code_fn=fail, inputs={"x": float}, outputs={"y": float}
    )
    result = service.fail(0.0)
    assert "ZeroDivisionError" in result.error
    assert "return total / x" in result.error
    assert "gristmill" not in result.error
    assert result.output("y") is None
    assert "ZeroDivisionError" in str(result)
    assert service.fail(4.0).output("y") == 0.25


def an_error_of_the_init_code_is_told_too(client):
    service = client.deploy_service("ms-init-error", version="1", init_str="import no_such", code_str="pass")
    assert "No module named 'no_such'" in service.consume().error


def an_output_that_the_code_does_not_set_is_told_by_its_name(client):
    service = client.deploy_service("ms-unset", version="1", code_str="x = 1", outputs={"y": int})
    assert "'y'" in service.consume().error


def one_input_too_few_never_leaves_the_client_and_a_raw_one_is_400(client):
    service = client.deploy_service(
        "ms-few", version="1", code_fn=fail, inputs={"x": float}, outputs={"y": float}
    )
    with contextlib.suppress(TypeError):
        service.fail()
        raise AssertionError("it was called")
    status, message = refused(client._http_client.post, "/api/ms-few/1", json={})
    assert status == 400
    assert "'x'" in message or "x:" in message, message
