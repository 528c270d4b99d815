"""The Compose stack, from outside: it comes up as it should, and nothing is lost while its containers die."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from client.warren import WarrenClient
from gateway.disconnects import Disconnect
from gateway.socket_io.server import PATHS
from tests.e2e.compose import JOBS, MAX_ADDRESS_SESSIONS, SERVICES, ComposeStack, composed, run
from tests.e2e.ledger import accounts
from tests.e2e.wire import people

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_IMAGE_BYTES = 150_000_000  # over the base image
DEADLINE_S = 120.0
CLOSE_S = 15.0
ELSEWHERE = """
import asyncio, websockets
async def main():
    async with websockets.connect("ws://proxy:8000/v1/ws?token={token}") as socket:
        print(await socket.recv())
asyncio.run(main())
"""
OTHERS = ("_PASSWORD", "_KEY")  # of the variables of secrets that only RabbitMQ, MongoDB and Grafana are told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComposeStack]:
    async with composed(tmp_path_factory.mktemp("compose")) as stack:
        yield stack


async def sessions(stack: ComposeStack, gateway: str) -> int:
    async with stack.admin(gateway) as admin:
        metrics = (await admin.get("/metrics")).raise_for_status().text
    return int(
        float(next(line for line in metrics.splitlines() if line.startswith("warren_gateway_sessions ")).split()[1])
    )


async def test_the_jobs_end_and_everything_else_becomes_healthy(stack: ComposeStack) -> None:
    for name in JOBS:
        state = (await stack.inspect(name))["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0), name
    for name in (*SERVICES, "proxy", "mongo", "rabbitmq"):
        state = (await stack.inspect(name))["State"]
        assert (state["Status"], state["Health"]["Status"]) == ("running", "healthy"), name


async def test_no_container_of_ours_may_more_than_it_needs(stack: ComposeStack) -> None:
    for name in (*SERVICES, *JOBS, "proxy"):
        container = await stack.inspect(name)
        user, host = container["Config"]["User"], container["HostConfig"]
        assert user.split(":")[0].isdecimal(), name
        assert int(user.split(":")[0]) > 0, name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name


async def test_no_service_knows_the_passwords_of_others(stack: ComposeStack) -> None:
    for name in SERVICES:
        told = dict(line.split("=", 1) for line in (await stack.inspect(name))["Config"]["Env"])
        assert [variable for variable in told if variable.endswith(OTHERS) and told[variable]] == [], name
        assert bool(told["WARREN_JWT_SECRET"]) == name.startswith("gateway"), name
        assert bool(told["WARREN_MONGO_URL"]) == (name in ("history", "presence")), name


async def test_ports_are_open_to_this_machine_alone(stack: ComposeStack) -> None:
    for name in (*SERVICES, "proxy", "mongo", "rabbitmq"):
        bindings = (await stack.inspect(name))["HostConfig"]["PortBindings"].values()
        assert {binding["HostIp"] for ports in bindings for binding in ports} == {"127.0.0.1"}, name


async def test_the_image_adds_little_to_its_base(stack: ComposeStack) -> None:
    base = stack.shell.get("PYTHON_IMAGE", "python:3.13-slim")
    sizes = await run("docker", "image", "inspect", "--format", "{{.Size}}", "warren:test", base, environ=stack.shell)
    ours, python = (int(size) for size in sizes.split())
    assert ours - python < MAX_IMAGE_BYTES


async def test_users_on_both_gateways_chat(stack: ComposeStack) -> None:
    async with people(stack, "ann", "ben") as (ann, ben), ann.on(0) as hers, ben.on(0) as his:
        assert [await sessions(stack, gateway) for gateway in ("gateway-1", "gateway-2")] == [1, 1]
        await hers.ask("send", to="ben", client_id="c-1", content="hi ben")
        assert (await his.until("message"))["content"] == "hi ben"
        await his.ask("send", to="ann", client_id="c-1", content="hi ann")
        assert (await hers.until("message", sender_id="ben"))["content"] == "hi ann"


async def test_requests_of_one_session_reach_one_gateway(stack: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=stack.gateways[0].rest_url) as client:
        for path in PATHS + PATHS:
            await client.get(path)
    ask = "exec 3<>/dev/tcp/127.0.0.1/8404; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    series = await stack.compose("exec", "-T", "proxy", "bash", "-c", ask)
    asked = re.findall(r'^haproxy_server_sessions_total\{proxy="same_gateway",\S* (\d+)', series, re.MULTILINE)
    assert sorted(map(int, asked)) == [0, 2 * len(PATHS)]


async def test_limits_by_address_count_clients_whatever_they_say_of_themselves(stack: ComposeStack) -> None:
    url = stack.gateways[0].socket_url
    async with AsyncExitStack() as held:
        for number in range(2 * MAX_ADDRESS_SESSIONS + 1):
            headers = {"X-Forwarded-For": f"192.0.2.{number}"}
            opening = connect(f"{url}?token={await stack.token(f'crowd-{number}')}", additional_headers=headers)
            last = await held.enter_async_context(opening)
        async with asyncio.timeout(CLOSE_S):
            await last.wait_closed()
        assert last.close_code == Disconnect.CROWDED.code
        ask = ELSEWHERE.format(token=await stack.token("elsewhere"))
        assert "welcome" in await stack.compose("exec", "-T", "history", "python", "-c", ask)


async def test_a_gateway_that_drains_is_started_again_and_its_clients_go_on(stack: ComposeStack) -> None:
    token = await stack.token("cat")
    async with WarrenClient(stack.gateways[0].socket_url, token=token) as cat:
        await (await cat.send("before", to="dan")).stored()
        for gateway in ("gateway-1", "gateway-2"):
            began = (await stack.inspect(gateway))["RestartCount"]
            async with stack.admin(gateway) as admin:
                (await admin.post("/admin/drain")).raise_for_status()
            async with asyncio.timeout(DEADLINE_S):
                while (await stack.inspect(gateway))["RestartCount"] == began:
                    await (await cat.send("meanwhile", to="dan")).stored()
            await stack.ready()
        assert (await (await cat.send("after", to="dan")).stored()).seq is not None


async def test_every_container_is_killed_in_turn_and_nothing_is_lost(stack: ComposeStack) -> None:
    async def chaos() -> None:
        for name in (*SERVICES, "rabbitmq", "mongo", "proxy", "history"):
            await stack.kill(name)

    async with accounts(stack, users=10) as ledger:
        await ledger.fill(burst=5, chaos=chaos, deadline_s=DEADLINE_S)


async def test_strangers_do_not_reach_the_database(stack: ComposeStack) -> None:
    done = await run(
        *("docker", "compose", "exec", "-T", "mongo", "sh", "-c"),
        "tr '\\0' ' ' </proc/1/cmdline; stat -c %u /proc/1",
        environ=stack.shell,
    )
    assert "--keyFile" in done
    assert done.split()[-1] != "0"


async def test_admin_ports_want_the_secret_of_the_env_file(stack: ComposeStack) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.admin_ports['history']}") as stranger:
        assert (await stranger.get("/admin/stats")).status_code == 401
    async with stack.admin("history") as admin:
        assert (await admin.get("/admin/stats")).status_code == 200
