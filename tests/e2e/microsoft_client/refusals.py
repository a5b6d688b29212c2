"""What the server refuses, as the client shows it."""

import json

from azureml.common.http_client import HttpException


def refused(call, *arguments, **options):
    """Status and message of a call that must be refused."""
    try:
        call(*arguments, **options)
    except HttpException as error:
        answer = json.loads(error.body)
        assert set(answer) == {"message", "link", "exceptionType"}, answer
        return error.status, answer["message"]
    raise AssertionError("it was not refused")
