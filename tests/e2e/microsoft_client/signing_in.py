"""Logging in, by user name and password or by a token, and being refused."""

import sys

from azureml.deploy import DeployClient
from azureml.deploy.server import MLServer
from refusals import refused

URL, USERNAME, PASSWORD = sys.argv[1:]


def a_login_by_name_and_password_may_list_services(client):
    fresh = DeployClient(URL + "/", use=MLServer, auth=(USERNAME, PASSWORD))
    assert isinstance(fresh.list_services(), list)


def the_token_of_one_login_serves_another_client(client):
    token = client._http_client.authorization.split(" ", 1)[1]
    assert isinstance(DeployClient(URL, use=MLServer, auth=token).list_services(), list)


def a_wrong_password_is_401_with_a_reason(client):
    status, message = refused(DeployClient, URL, use=MLServer, auth=(USERNAME, "wrong"))
    assert status == 401
    assert "password is wrong" in message


def without_a_login_every_call_is_401(client):
    stranger = DeployClient(URL, use=MLServer)
    for call in (stranger.list_services, lambda: stranger.delete_service("any", version="1")):
        assert refused(call)[0] == 401
