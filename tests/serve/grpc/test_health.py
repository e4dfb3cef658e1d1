"""The standard health service, asked by grpcio-health-checking's own stubs, and reflection by grpcio-reflection's."""

import asyncio
import queue
import signal
from threading import Thread

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from dashdeploy.serve.grpc.health import HealthService
from dashdeploy.serve.repository.model_repository import ModelRepository
from dashdeploy.serve.repository.readiness import Readiness
from dashdeploy.serve.settings import ServeSettings

NAMES = health_pb2.HealthCheckResponse.ServingStatus.Name
SERVICE = "inference.GRPCInferenceService"


class Probe:
    """A client with a connection of its own."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = health_pb2_grpc.HealthStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def check(self, service=""):
        """The status, or the code of the error."""
        try:
            return NAMES(self._stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status)
        except grpc.RpcError as error:
            return error.code().name

    def watch(self, service=""):
        """A queue of the statuses as they come; None is its end. The call is to be cancelled."""
        statuses = queue.Queue()
        call = self._stub.Watch(health_pb2.HealthCheckRequest(service=service))

        def read():
            try:
                for answer in call:
                    statuses.put(NAMES(answer.status))
                statuses.put(None)
            except grpc.RpcError as error:
                statuses.put(error.code().name)

        Thread(target=read, daemon=True).start()
        return call, statuses


def test_check(grpc_server):
    with Probe(grpc_server) as probe:
        for service in ("", SERVICE, "grpc.health.v1.Health", "double", "double/1", "text"):
            assert probe.check(service) == "SERVING", service
        for service in ("nobody", "double/2", "double/x", "double/", "/", "inference"):
            assert probe.check(service) == ("SERVING" if service == "double/" else "NOT_FOUND"), service


def test_probes_need_no_key(tmp_path, write, start_server):
    with (
        start_server([write.double(tmp_path / "double")], api_keys=["secret"]) as running,
        Probe(running.grpc) as probe,
    ):
        assert (probe.check(), probe.check("double")) == ("SERVING", "SERVING")


def test_watch_tells_every_client_of_models_that_go_and_come(tmp_path, write, start_server):
    bundles = [write.double(tmp_path / "one"), write.double(tmp_path / "two")]
    with (
        start_server(bundles, allow_model_control=True) as running,
        triton.InferenceServerClient(running.grpc) as control,
        Probe(running.grpc) as first,
        Probe(running.grpc) as second,
    ):
        leaving, gone = first.watch("one")
        _, watched = second.watch("one")
        _, other = second.watch("two")
        _, unknown = second.watch("nobody")
        assert [each.get(timeout=10) for each in (gone, watched, other, unknown)] == [
            *["SERVING"] * 3,
            "SERVICE_UNKNOWN",
        ]
        leaving.cancel()
        assert gone.get(timeout=10) == "CANCELLED"
        control.unload_model("one")
        assert watched.get(timeout=10) == "NOT_SERVING"
        assert (first.check("one"), first.check("two"), first.check()) == (
            "NOT_SERVING",
            "SERVING",
            "SERVING",
        )
        control.load_model("one")
        assert watched.get(timeout=10) == "SERVING"
        assert other.empty() and unknown.empty()


def test_a_broken_engine_is_not_serving_until_it_is_mended(tmp_path, write, start_server):
    switch = tmp_path / "broken"
    bundles = [write.double(tmp_path / "double")]
    with start_server(bundles, breaks=str(switch)) as running, Probe(running.grpc) as probe:
        _, model = probe.watch("double")
        _, server = probe.watch()
        assert (model.get(timeout=10), server.get(timeout=10)) == ("SERVING", "SERVING")
        switch.touch()
        tensor = triton.InferInput("x", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 4), np.float32))
        with triton.InferenceServerClient(running.grpc) as client, pytest.raises(Exception, match="fell off"):
            client.infer("double", [tensor])
        assert (model.get(timeout=10), server.get(timeout=10)) == ("NOT_SERVING", "NOT_SERVING")
        switch.unlink()
        assert (model.get(timeout=20), server.get(timeout=20)) == ("SERVING", "SERVING")


def test_a_drain_is_told_before_the_connection_ends_and_is_not_held_up(tmp_path, write, start_server):
    with start_server([write.double(tmp_path / "double")], drain_seconds=30) as running:
        probe = Probe(running.grpc)
        watches = [probe.watch(service)[1] for service in ("", "double")]
        assert [statuses.get(timeout=10) for statuses in watches] == ["SERVING"] * 2
        running.process.send_signal(signal.SIGTERM)
        assert [[statuses.get(timeout=10) for _ in range(2)] for statuses in watches] == [
            ["NOT_SERVING", None]
        ] * 2
        assert running.process.wait(timeout=10) == 0
        probe.channel.close()


def test_a_drain_that_begins_while_a_status_is_sent_is_told():
    async def run():
        repository = ModelRepository([], ServeSettings())
        readiness = Readiness(repository)
        watch = HealthService(repository, readiness).Watch(health_pb2.HealthCheckRequest(), None)
        first = await anext(watch)
        readiness.drain()  # the generator is still at its `yield`
        return [NAMES(answer.status) for answer in (first, *[answer async for answer in watch])]

    assert asyncio.run(run()) == ["SERVING", "NOT_SERVING"]


def test_reflection_is_there_only_if_asked_for(tmp_path, write, start_server, grpc_server):
    with (
        start_server([write.double(tmp_path / "double")], grpc_reflection=True) as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        described = ProtoReflectionDescriptorDatabase(channel)
        services = {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert set(described.get_services()) == services
        (service,) = described.FindFileContainingSymbol(SERVICE).service
        assert {"ModelInfer", "ModelReady", "ModelStreamInfer"} <= {method.name for method in service.method}
        assert described.FindFileContainingSymbol("inference.ModelConfig").name
        assert described.FindFileContainingSymbol("grpc.health.v1.Health").package == "grpc.health.v1"
    with grpc.insecure_channel(grpc_server) as channel, pytest.raises(grpc.RpcError) as error:
        ProtoReflectionDescriptorDatabase(channel).get_services()
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
