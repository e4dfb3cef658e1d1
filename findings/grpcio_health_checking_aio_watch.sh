#!/usr/bin/env bash
# grpcio-health-checking's asyncio servicer: when one of two clients that watch a service leaves, the other hears nothing more.
#
# `grpc_health.v1.health.aio.HealthServicer` keeps one condition for all watchers of a service and deletes it when the first of them
# ends. `set` then finds no condition and notifies nobody. The servicer for threads keeps telling the rest.
#
# Seen with grpcio-health-checking 1.81.1 and grpcio 1.85.1: after the first client has left, SERVING -> NOT_SERVING does not arrive
# within two seconds; with both clients there, or with the servicer for threads, it arrives at once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'grpcio==1.85.1' 'grpcio-health-checking==1.81.1' 'protobuf==6.33.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

REQUEST = health_pb2.HealthCheckRequest(service="")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def heard(kind, first_leaves):
    """Whether the second of two watching clients hears of a change."""
    if kind == "asyncio":
        servicer, server = health.aio.HealthServicer(), grpc.aio.server()
    else:
        servicer, server = health.HealthServicer(), grpc.server(ThreadPoolExecutor(8))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    started = server.start()
    if started is not None:
        await started
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        first, second = (health_pb2_grpc.HealthStub(channel).Watch(REQUEST) for _ in range(2))
        assert (await first.read()).status == (await second.read()).status == SERVING
        if first_leaves:
            first.cancel()
            await asyncio.sleep(1)
        done = servicer.set("", NOT_SERVING)
        if done is not None:
            await done
        try:
            answer = await asyncio.wait_for(second.read(), 2)
            found = answer.status == NOT_SERVING
        except asyncio.TimeoutError:
            found = False
    stopped = server.stop(0)
    if asyncio.iscoroutine(stopped):
        await stopped
    return found


for kind in ("asyncio", "threads"):
    for first_leaves in (False, True):
        found = asyncio.run(heard(kind, first_leaves))
        print(f"{kind}: the first client {'has left' if first_leaves else 'stays'}: the second hears of the change: {found}")
        assert found == (not (kind == "asyncio" and first_leaves))
PYTHON
