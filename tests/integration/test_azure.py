"""Azure from Python: Microsoft's clients, and a server that holds each request against the specifications."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.deploy.azure import (
    AgentPool,
    Azure,
    AzureBusy,
    AzureConflict,
    AzureForbids,
    AzureUnreachable,
    BadAzureName,
    NameTaken,
    NoCapacity,
    NoPullIdentity,
    NoSubscription,
    NotInAzure,
    NotLoggedIn,
    OperationFailed,
    QuotaExceeded,
    ResourceGroup,
    Role,
    TookTooLong,
    WaitInterrupted,
    login,
)
from gristmill.deploy.azure.connection import Patience
from gristmill.deploy.azure.roles import assignment_name
from gristmill.deploy.azure.waiting import unseen
from tests.azure_server import GROUP, KUBELET, SUBSCRIPTION, AzureServer, StaticCredential, failure

REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/deployreg"
QUICK = Patience(between=0.01, whole=30)


@pytest.fixture
def server() -> Iterator[AzureServer]:
    found = AzureServer()
    try:
        yield found
        assert found.complaints == []
    finally:
        found.close()


@pytest.fixture
def azure(server: AzureServer) -> Azure:
    return login(
        subscription=SUBSCRIPTION, credential=StaticCredential(), transport=server.transport, patience=QUICK
    )


@pytest.fixture
def group(azure: Azure) -> ResourceGroup:
    return azure.create_resource_group("deployresgrp", location="westeurope")


def test_the_story_of_the_vignette(azure: Azure, server: AzureServer) -> None:
    group = azure.create_resource_group("deployresgrp", location="West Europe")
    registry = group.create_acr("deployreg")
    service = group.create_aks("deployclus", agent_pools=[AgentPool(count=2, size="Standard_D2s_v5")])
    given = registry.add_role_assignment(service, "AcrPull")
    cluster = service.get_cluster()

    assert group.location == "westeurope"
    assert registry.login_server == "deployreg.azurecr.io"
    assert given.new
    assert cluster.kubeconfig.server == "https://deployclus-1a2b3c4d.hcp.westeurope.azmk8s.io:443"
    assert server.bodies["ManagedClusters_CreateOrUpdate"]["properties"]["agentPoolProfiles"] == [
        {
            "name": "pool1",
            "count": 2,
            "osType": "Linux",
            "mode": "System",
            "type": "VirtualMachineScaleSets",
            "vmSize": "Standard_D2s_v5",
        }
    ]
    definitions = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
    assert server.bodies["RoleAssignments_Create"]["properties"] == {
        "roleDefinitionId": f"{definitions}/7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "principalId": KUBELET,
        "principalType": "ServicePrincipal",
    }


def test_a_long_operation_is_watched_until_its_end(server: AzureServer, azure: Azure) -> None:
    seen: list[tuple[str, str]] = []
    azure.watch = lambda what, state, _: seen.append((what, state))
    server.polls = 3
    service = azure.create_resource_group("deployresgrp", "westeurope").create_aks("deployclus")

    assert server.asked.count("poll") == 4
    assert server.transport.slept == [15.0] * 3  # as Retry-After says
    assert seen[0] == ("creating the cluster deployclus", "InProgress")
    assert seen[-1] == ("creating the cluster deployclus", "Succeeded")
    assert service.state == "Succeeded"


def test_what_is_there_already_is_taken_as_it_is(
    group: ResourceGroup, azure: Azure, server: AzureServer
) -> None:
    group.create_acr("deployreg")
    group.create_aks("deployclus")
    server.asked.clear()

    azure.create_resource_group("deployresgrp", location="westeurope")
    group.create_acr("deployreg")
    group.create_aks("deployclus")

    assert not [each for each in server.asked if each.endswith(("_Create", "_CreateOrUpdate"))]


def test_what_is_there_otherwise_is_no_silent_success(group: ResourceGroup, azure: Azure) -> None:
    group.create_acr("deployreg")
    with pytest.raises(AzureConflict, match="as Basic, not as Premium"):
        group.create_acr("deployreg", sku="premium")
    with pytest.raises(AzureConflict, match="in westeurope, not in eastus"):
        azure.create_resource_group("deployresgrp", "eastus")


def test_lists_and_gets(group: ResourceGroup, azure: Azure) -> None:
    group.create_acr("deployreg", sku="Standard")
    group.create_aks("deployclus", agent_pools=[AgentPool(count=2), AgentPool(name="pool2", count=3)])

    assert [each.name for each in azure.list_resource_groups()] == ["deployresgrp"]
    assert [str(each.sku) for each in group.list_acrs()] == ["Standard"]
    assert [each.nodes for each in group.list_aks()] == [5]
    with pytest.raises(NotInAzure, match=r"the registry otherreg: .* was not found"):
        group.get_acr("otherreg")
    with pytest.raises(NotInAzure):
        azure.get_resource_group("otherresgrp")


def test_deleting_is_waited_for_and_may_be_repeated(
    group: ResourceGroup, azure: Azure, server: AzureServer
) -> None:
    group.create_acr("deployreg")
    group.create_aks("deployclus")
    for _ in range(2):
        group.delete_acr("deployreg")
        group.delete_aks("deployclus")
        azure.delete_resource_group("deployresgrp")

    assert server.things == {}


def test_a_login_at_the_registry_is_an_exchange_of_tokens(group: ResourceGroup, server: AzureServer) -> None:
    registry = group.create_acr("deployreg")
    found = registry.credentials()

    assert found.username == "00000000-0000-0000-0000-000000000000"
    assert found.password == found.identity_token == "token-of-the-registry"
    assert "token-of-the-registry" not in repr(found)
    assert "https://containerregistry.azure.net/.default" in registry.connection.credential.scopes  # type: ignore[attr-defined]
    with registry.get_docker_registry() as client:
        assert client.registry == "deployreg.azurecr.io"


def test_the_admin_user_only_where_it_is_on(group: ResourceGroup) -> None:
    with pytest.raises(AzureConflict, match="the admin user of deployreg is off"):
        group.create_acr("deployreg").credentials(as_admin=True)
    registry = group.create_acr("adminreg", admin_user_enabled=True)

    assert registry.credentials(as_admin=True).password == "secret-of-the-admin"


def test_tokens_go_to_no_host_but_the_clouds_registries(group: ResourceGroup, server: AzureServer) -> None:
    group.create_acr("deployreg")
    server.things[REGISTRY.lower()]["properties"]["loginServer"] = "azurecr.io.example.com"
    with pytest.raises(OperationFailed, match="no address in Azure"):
        group.get_acr("deployreg").credentials()


def test_a_role_given_twice_has_the_same_name_and_one_given_by_others_is_fine(
    group: ResourceGroup, server: AzureServer
) -> None:
    registry, service = group.create_acr("deployreg"), group.create_aks("deployclus")
    registry.add_role_assignment(service)
    registry.add_role_assignment(service)
    made = [key for key in server.things if "roleassignments" in key]
    assert len(made) == 1
    assert made[0].endswith(assignment_name(registry.id, KUBELET, Role.ACR_PULL))

    server.say("RoleAssignments_Create", failure(409, "RoleAssignmentExists", "It exists already."))
    assert not registry.add_role_assignment(service).new


def test_a_new_identity_is_waited_for(group: ResourceGroup, server: AzureServer) -> None:
    registry, service = group.create_acr("deployreg"), group.create_aks("deployclus")
    server.transport.slept.clear()
    server.say(
        "RoleAssignments_Create",
        *[failure(400, "PrincipalNotFound", f"Principal {KUBELET} does not exist.")] * 3,
    )
    assert registry.add_role_assignment(service).new
    assert server.transport.slept == [5.0] * 3


def test_an_identity_that_never_comes_is_given_up(group: ResourceGroup, server: AzureServer) -> None:
    registry = group.create_acr("deployreg")
    registry.connection.patience = Patience(replication=-1)
    server.say("RoleAssignments_Create", failure(400, "PrincipalNotFound", "It does not exist."))
    with pytest.raises(TookTooLong, match="run the same command again"):
        registry.add_role_assignment(KUBELET)


def test_who_may_not_give_roles_gets_the_command_for_who_may(
    group: ResourceGroup, server: AzureServer
) -> None:
    registry, service = group.create_acr("deployreg"), group.create_aks("deployclus")
    server.say(
        "RoleAssignments_Create", failure(403, "AuthorizationFailed", "The client has no authorization.")
    )
    with pytest.raises(AzureForbids, match="az role assignment create --role 'AcrPull'") as caught:
        registry.add_role_assignment(service)
    assert f"--assignee-object-id {KUBELET}" in str(caught.value)
    assert f"--scope {REGISTRY}" in str(caught.value)


def test_what_an_owner_has_given_is_enough_for_who_may_not_give(
    group: ResourceGroup, server: AzureServer
) -> None:
    registry = group.create_acr("deployreg")
    registry.add_role_assignment(KUBELET)
    server.say("RoleAssignments_Create", failure(403, "AuthorizationFailed", "No authorization."))
    assert not registry.add_role_assignment(KUBELET).new

    server.say("RoleAssignments_Create", failure(403, "AuthorizationFailed", "No authorization."))
    with pytest.raises(AzureForbids):
        registry.add_role_assignment(KUBELET, "AcrPush")


def test_a_registry_with_permissions_by_repository_gets_the_role_that_it_heeds(
    group: ResourceGroup, server: AzureServer
) -> None:
    group.create_acr("deployreg")
    server.things[REGISTRY.lower()]["properties"]["roleAssignmentMode"] = "AbacRepositoryPermissions"
    given = group.get_acr("deployreg").add_role_assignment(KUBELET, "acrpull")

    assert given.role is Role.REPOSITORY_READER


def test_a_cluster_with_a_service_principal_says_what_to_do(
    group: ResourceGroup, server: AzureServer
) -> None:
    registry, service = group.create_acr("deployreg"), group.create_aks("deployclus")
    del server.things[service.id.lower()]["properties"]["identityProfile"]
    with pytest.raises(NoPullIdentity, match="az role assignment create"):
        registry.add_role_assignment(group.get_aks("deployclus"))


def test_an_operation_that_fails_says_why(group: ResourceGroup, server: AzureServer) -> None:
    why = "Preflight validation check failed: Insufficient regional vcpu quota left for location westeurope."
    server.ending = {"status": "Failed", "error": {"code": "InsufficientVCPUQuota", "message": why}}
    with pytest.raises(QuotaExceeded, match="Insufficient regional vcpu quota") as caught:
        group.create_aks("deployclus")
    assert "--node-size" in str(caught.value)

    server.ending = {"status": "Canceled", "error": {"code": "Canceled", "message": "It was stopped."}}
    with pytest.raises(OperationFailed, match="It was stopped"):
        group.create_acr("deployreg")


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (failure(403, "AuthorizationFailed", "No authorization."), AzureForbids, "Contributor"),
        (failure(404, "SubscriptionNotFound", "It is not there."), NoSubscription, "az account list"),
        (failure(401, "InvalidAuthenticationTokenTenant", "Wrong issuer."), NotLoggedIn, "az login --tenant"),
        (failure(401, "ExpiredAuthenticationToken", "It has expired."), NotLoggedIn, "az login"),
        (failure(409, "SkuNotAvailable", "No such size."), NoCapacity, "--location"),
        (failure(409, "AllocationFailed", "No room."), NoCapacity, "--node-size"),
        (failure(400, "QuotaExceeded", "Cores."), QuotaExceeded, "quotas"),
        (
            failure(409, "OperationNotAllowed", "exceeding approved Total Cores quota"),
            QuotaExceeded,
            "quotas",
        ),
        (failure(409, "OperationNotAllowed", "Another is in progress."), AzureConflict, "in progress"),
        (failure(403, "RequestDisallowedByPolicy", "Policy 'x'."), Exception, "ask its owner"),
    ],
)
def test_a_refusal_says_what_and_the_way_out(
    group: ResourceGroup,
    server: AzureServer,
    answer: tuple[int, dict[str, str], object],
    kind: type,
    says: str,
) -> None:
    server.say("ManagedClusters_CreateOrUpdate", answer)
    with pytest.raises(kind, match=r"the cluster deployclus|this login") as caught:
        group.create_aks("deployclus")
    assert says in str(caught.value)


def test_throttled_calls_are_repeated_when_azure_says(group: ResourceGroup, server: AzureServer) -> None:
    server.say("Registries_Get", *[failure(429, "TooManyRequests", "Slow down.", Retry_After="7")] * 2)
    server.transport.slept.clear()
    with pytest.raises(NotInAzure):
        group.get_acr("deployreg")
    assert server.transport.slept == [7.0, 7.0]


def test_throttling_without_end_is_told(group: ResourceGroup, server: AzureServer) -> None:
    server.say("Registries_Get", *[failure(429, "TooManyRequests", "Slow down.", Retry_After="7")] * 20)
    with pytest.raises(AzureBusy, match="Try again in a few minutes") as caught:
        group.get_acr("deployreg")
    assert caught.value.retry_after == 7


def test_a_name_that_somebody_else_has(group: ResourceGroup, server: AzureServer) -> None:
    server.taken.add("deployreg")
    with pytest.raises(NameTaken, match=r"already in use\. .* unique in all of Azure"):
        group.create_acr("deployreg")
    assert "Registries_Create" not in server.asked


def test_ctrl_c_stops_the_waiting_and_says_how_to_go_on(
    azure: Azure, group: ResourceGroup, server: AzureServer
) -> None:
    server.polls = 1_000_000

    def press(what: str, state: str, seconds: float) -> None:
        if seconds > 0:
            signal.raise_signal(signal.SIGINT)

    group.watch = press
    with pytest.raises(WaitInterrupted, match=r"Azure goes on .* gristmill azure cluster create deployclus"):
        group.create_aks("deployclus")

    # The same again finds it in the making, and waits for its end.
    found = server.things[f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/deployclus".lower()]
    found["properties"]["provisioningState"] = "Creating"
    states: list[str] = []

    def settle(what: str, state: str, seconds: float) -> None:
        states.append(state)
        found["properties"]["provisioningState"] = "Succeeded"

    group.watch = settle
    assert group.create_aks("deployclus").state == "Succeeded"
    assert states == ["Creating", "Succeeded"]
    server.finish()


def test_waiting_has_an_end(group: ResourceGroup, server: AzureServer) -> None:
    server.polls = 1_000_000
    group.connection.patience = Patience(between=0.01, whole=0)
    with pytest.raises(TookTooLong, match="goes on with it by itself"):
        group.create_aks("deployclus")
    server.finish()


def test_a_cluster_that_failed_is_not_taken_for_one(group: ResourceGroup, server: AzureServer) -> None:
    service = group.create_aks("deployclus")
    server.things[service.id.lower()]["properties"]["provisioningState"] = "Failed"
    with pytest.raises(OperationFailed, match="it is Failed"):
        group.create_aks("deployclus")


def test_nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_SUBSCRIPTION_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "dev")  # the network of this machine is not asked who it is
    with pytest.raises(
        NotLoggedIn, match=r"you are not logged in to Azure\. Log in with `az login`"
    ) as caught:
        login(subscription=SUBSCRIPTION).list_resource_groups()
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_no_way_to_azure(server: AzureServer) -> None:
    server.close()
    azure = login(subscription=SUBSCRIPTION, credential=StaticCredential(), transport=server.transport)
    with pytest.raises(AzureUnreachable, match="HTTPS_PROXY"):
        azure.list_resource_groups()


def test_the_subscription_is_the_given_one_or_the_environments_or_the_clis_or_the_only_one(
    server: AzureServer, tmp_path: Path
) -> None:
    def chosen(environment: dict[str, str]) -> str:
        settings = {"AZURE_CONFIG_DIR": str(tmp_path), **environment}
        credential = StaticCredential()
        return login(credential=credential, transport=server.transport, environment=settings).subscription

    other, third = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
    assert chosen({}) == SUBSCRIPTION
    profile = f'{{"subscriptions": [{{"id": "{third}", "isDefault": true}}]}}'
    (tmp_path / "azureProfile.json").write_text(profile, "utf-8-sig")
    assert chosen({}) == third
    assert chosen({"AZURE_SUBSCRIPTION_ID": other}) == other


def test_several_subscriptions_are_listed(server: AzureServer, tmp_path: Path) -> None:
    listed = [
        {"subscriptionId": f"{digit * 8}-1111-1111-1111-111111111111", "displayName": f"S{digit}"}
        for digit in "12"
    ]
    server.say("Subscriptions_List", (200, {}, {"value": listed}))
    with pytest.raises(NoSubscription, match=r"2 subscriptions: .*\n.*  S1\n.*  S2"):
        login(
            credential=StaticCredential(),
            transport=server.transport,
            environment={"AZURE_CONFIG_DIR": str(tmp_path)},
        )


def test_all_pages_are_read_but_none_elsewhere(server: AzureServer, tmp_path: Path) -> None:
    def page(digit: str, link: str | None) -> tuple[int, dict[str, str], object]:
        listed = [{"subscriptionId": f"{digit * 8}-1111-1111-1111-111111111111", "displayName": f"S{digit}"}]
        return 200, {}, {"value": listed} | ({"nextLink": link} if link else {})

    more = "https://management.azure.com/subscriptions?api-version=2022-12-01"
    server.say(
        "Subscriptions_List", page("1", more), page("2", "https://example.com/subscriptions"), page("3", None)
    )
    with pytest.raises(NoSubscription, match="2 subscriptions"):
        login(
            credential=StaticCredential(),
            transport=server.transport,
            environment={"AZURE_CONFIG_DIR": str(tmp_path)},
        )


def test_a_stopped_cluster_says_how_it_is_started(group: ResourceGroup, server: AzureServer) -> None:
    service = group.create_aks("deployclus")
    server.things[service.id.lower()]["properties"]["powerState"] = {"code": "Stopped"}
    with pytest.raises(AzureConflict, match="az aks start --resource-group deployresgrp --name deployclus"):
        group.get_aks("deployclus").get_cluster()


def test_other_clouds_are_asked_elsewhere(server: AzureServer) -> None:
    credential = StaticCredential()
    azure = login(
        subscription=SUBSCRIPTION, cloud="AzureChinaCloud", credential=credential, transport=server.transport
    )
    azure.list_resource_groups()

    assert credential.scopes == ["https://management.chinacloudapi.cn/.default"]
    assert azure.connection.resources._config.base_url == "https://management.chinacloudapi.cn"


def test_names_are_checked_before_anything_is_sent(
    azure: Azure, group: ResourceGroup, server: AzureServer
) -> None:
    server.asked.clear()
    hostile = ["", "x" * 91, "../../other", "a/b", "a?api-version=1", "a#b", "a\nb", "a%2fb", "$(id)", "-é"]
    for text in hostile:
        for call in (group.get_acr, group.delete_acr, group.get_aks, group.delete_aks):
            with pytest.raises(BadAzureName):
                call(text)
    for text in set(hostile) - {"-é"}:
        with pytest.raises(BadAzureName):
            azure.delete_resource_group(text)
    for text in ("deployreg.azurecr.io", "four", "with-dash"):
        with pytest.raises(BadAzureName, match="letters and digits"):
            group.create_acr(text)
    with pytest.raises(BadAzureName, match="full stop"):
        azure.get_resource_group("group.")
    with pytest.raises(BadAzureName, match="hexadecimal"):
        login(subscription="My subscription")
    with pytest.raises(BadAzureName, match=r"like 1\.33"):
        group.create_aks("deployclus", version="latest")
    with pytest.raises(BadAzureName, match="Premium"):
        group.create_aks("deployclus", tier="Gold")
    with pytest.raises(BadAzureName, match="DNS prefix"):
        group.create_aks("deployclus", prefix="-x")
    with pytest.raises(BadAzureName, match="location"):
        group.create_aks("deployclus", location="west/europe")
    for pool in (AgentPool(count=0), AgentPool(name="Pool"), AgentPool(size="big")):
        with pytest.raises(BadAzureName):
            group.create_aks("deployclus", agent_pools=[pool])
    assert server.asked == []


def test_what_azure_says_cannot_write_on_the_terminal(group: ResourceGroup, server: AzureServer) -> None:
    evil = "\x1b[2J\x9b31mall is well\r\n" + "x" * 5000
    server.say("Registries_Get", failure(404, "ResourceNotFound", evil))
    with pytest.raises(NotInAzure) as caught:
        group.get_acr("deployreg")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


def test_the_server_refuses_what_is_not_as_specified() -> None:
    server = AzureServer()
    try:
        azure = login(
            subscription=SUBSCRIPTION, credential=StaticCredential(), transport=server.transport, watch=unseen
        )
        groups = azure.connection.resources.resource_groups
        for body in (
            {"location": "westeurope", "id": "mine"},
            {"location": "westeurope", "colour": "blue"},
            {},
        ):
            with pytest.raises(Exception, match="NotAsSpecified"):
                groups.create_or_update("deployresgrp", body)
        assert len(server.complaints) == 3
    finally:
        server.close()
