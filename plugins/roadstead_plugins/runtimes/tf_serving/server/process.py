"""The server as a process: its ports, its signals, and how it ends.

Differences from TensorFlow Serving, on purpose: the ports open at once and GetModelStatus says LOADING, where
TensorFlow Serving opens them only when the models are available (who waits for a server learns more from a state than
from a refused connection); SIGTERM drains, where TensorFlow Serving has no handler; a port in use is an error with an
exit code. As there, a model that cannot be loaded at the start ends the process.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import attrs
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from roadstead_plugins.runtimes.tf_serving.protos import (
    model_service_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)
from roadstead_plugins.runtimes.tf_serving.server import engine
from roadstead_plugins.runtimes.tf_serving.server.configs import (
    Batching,
    ConfigError,
    ModelConfig,
    read_batching,
    read_models,
    read_monitoring,
)
from roadstead_plugins.runtimes.tf_serving.server.door import Door
from roadstead_plugins.runtimes.tf_serving.server.flags import Options, parse
from roadstead_plugins.runtimes.tf_serving.server.grpc_api import ModelService, PredictionService
from roadstead_plugins.runtimes.tf_serving.server.loading import Loader
from roadstead_plugins.runtimes.tf_serving.server.memory import Room
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.models import Models, Pace
from roadstead_plugins.runtimes.tf_serving.server.ports import GrpcPort, PortError, RestPort
from roadstead_plugins.runtimes.tf_serving.server.predict import Predictor
from roadstead_plugins.runtimes.tf_serving.server.rest_api import RestApi
from roadstead_plugins.runtimes.tf_serving.server.scheduler import BatchScheduler
from roadstead_plugins.runtimes.tf_serving.server.status import ServingError

log = logging.getLogger(__name__)

EXIT_MODEL: Final = 1
EXIT_NO_ENGINE: Final = 69
EXIT_PORT: Final = 71
EXIT_CONFIG: Final = 78

_SERVICES: Final = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (prediction_service_pb2.DESCRIPTOR, "PredictionService"),
        (model_service_pb2.DESCRIPTOR, "ModelService"),
    )
)


class Fatal(Exception):
    """The process cannot go on; ``code`` is what it ends with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen(kw_only=True)
class Settings:
    """What the files that the flags name say."""

    models: tuple[ModelConfig, ...]
    batching: Batching | None
    metrics_path: str | None


def main(arguments: Sequence[str]) -> int:
    """Run the server until SIGTERM or SIGINT, and return the exit code: 0 after a drain."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = read_settings(options)
        engine.library()
        asyncio.run(Process(options, settings).run())
    except ConfigError as error:
        return _end(EXIT_CONFIG, error)
    except (ModuleNotFoundError, OSError) as error:
        return _end(EXIT_NO_ENGINE, error)
    except PortError as error:
        return _end(EXIT_PORT, error)
    except Fatal as error:
        return _end(error.code, error)
    return 0


def _end(code: int, error: Exception) -> int:
    """Say why, in a sentence and not in a traceback, and return the exit code."""
    log.error("%s", error)
    return code


def read_settings(options: Options) -> Settings:
    """Read the files that the flags name."""
    return Settings(
        models=read_model_configs(options),
        batching=read_batching(options.batching_parameters_file) if options.enable_batching else None,
        metrics_path=read_monitoring(options.monitoring_config_file),
    )


def read_model_configs(options: Options) -> tuple[ModelConfig, ...]:
    """Return the models of the configuration file, or the one that the flags name."""
    if options.model_config_file is not None:
        return read_models(options.model_config_file)
    assert options.model_base_path is not None
    return (ModelConfig(name=options.model_name, base_path=options.model_base_path),)


class Process:
    """One server, from opening its ports to its end."""

    def __init__(self, options: Options, settings: Settings) -> None:
        self._options = options
        self._settings = settings
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._config_from_file = True
        self._grpc_door = Door()
        self._rest_door = Door()
        self._health = health.aio.HealthServicer()
        self._executor = ThreadPoolExecutor(max_workers=_workers(options, settings.batching), thread_name_prefix="run")
        self._models = Models(
            loader=Loader(
                tags=options.saved_model_tags,
                session=options.session,
                warm_up=options.warm_up,
                room=Room(options.memory_limit),
            ),
            pace=Pace(
                max_retries=options.max_load_retries,
                retry_interval=options.load_retry_interval,
                poll_interval=options.poll_interval,
            ),
            metrics=self._metrics,
            on_change=self._models_changed,
        )
        self._predictor = Predictor(
            models=self._models,
            executor=self._executor,
            scheduler=self._scheduler(),
            metrics=self._metrics,
        )
        self._background: set[asyncio.Task[None]] = set()

    def _scheduler(self) -> BatchScheduler | None:
        if self._settings.batching is None:
            return None
        return BatchScheduler(batching=self._settings.batching, executor=self._executor, metrics=self._metrics)

    async def run(self) -> None:
        """Serve until told to stop. Raises ``Fatal`` and ``PortError``."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        await self._set_health()
        grpc_port, rest_port = await self._open_grpc(), None
        try:
            rest_port = self._open_rest()
            self._start_work()
            await self._until_stopped_or_broken()
        finally:  # also when something is broken: a gRPC server that outlives the loop ends in a traceback of its own
            self._stop.set()
            await self._drain(grpc_port, rest_port)

    def _start_work(self) -> None:
        """Begin to load what is configured, and to follow the configuration."""
        first_pass: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        self._models.configure(self._settings.models)
        self._in_background(self._models.run(first_pass=first_pass))
        self._in_background(self._end_if_broken(first_pass))
        if self._options.model_config_file is not None and self._options.model_config_poll:
            self._in_background(self._follow_config_file())

    def _in_background(self, work: "asyncio._CoroutineLike[None]") -> None:
        self._background.add(asyncio.get_running_loop().create_task(work))

    async def _until_stopped_or_broken(self) -> None:
        """Wait for the signal; background work that fails ends the process with its error."""
        stopped = asyncio.get_running_loop().create_task(self._stop.wait())
        waiting: set[asyncio.Task[None] | asyncio.Task[bool]] = {stopped, *self._background}
        while not stopped.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()

    async def _end_if_broken(self, first_pass: "asyncio.Future[tuple[str, ...]]") -> None:
        broken = await first_pass
        if broken:
            raise Fatal(EXIT_MODEL, f"Failed to start server. Error: {self._models.why_unavailable(broken)}")

    # ---- ports ----

    async def _open_grpc(self) -> GrpcPort | None:
        if not self._options.grpc_port:
            return None
        return await GrpcPort.open(
            host=self._options.host,
            port=self._options.grpc_port,
            arguments=self._options.channel_arguments,
            door=self._grpc_door,
            register=self._add_services,
        )

    def _add_services(self, server: grpc.aio.Server) -> None:
        prediction = PredictionService(
            predictor=self._predictor,
            metrics=self._metrics,
            door=self._grpc_door,
            as_content=self._options.answer_as_content,
        )
        model = ModelService(
            models=self._models,
            labels_may_wait=self._options.allow_labels_for_unavailable,
            reconfigured=self._configured_by_call,
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model, server)
        if self._options.health_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)

    def _open_rest(self) -> RestPort | None:
        if not self._options.rest_port:
            return None
        api = RestApi(
            predictor=self._predictor,
            metrics=self._metrics,
            door=self._rest_door,
            metrics_path=self._settings.metrics_path,
            timeout=self._options.rest_timeout,
        )
        return RestPort(api, host=self._options.host, port=self._options.rest_port, door=self._rest_door)

    # ---- what changes ----

    def _models_changed(self) -> None:
        self._in_background_once(self._set_health())

    def _in_background_once(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _set_health(self) -> None:
        """Say SERVING while every model can be run and nobody told us to stop."""
        ready = self._models.all_available() and not self._stop.is_set() and bool(self._settings.models)
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *_SERVICES):
            await self._health.set(service, status)

    def _configured_by_call(self) -> None:
        self._config_from_file = False

    async def _follow_config_file(self) -> None:
        """Read the configuration file again and again, until a configuration was given by call."""
        last = self._settings.models
        while True:
            await asyncio.sleep(self._options.model_config_poll)
            if not self._config_from_file:
                return
            try:
                found = await asyncio.to_thread(read_model_configs, self._options)
                if found != last:
                    last = found
                    await self._models.reconfigure(found, labels_may_wait=self._options.allow_labels_for_unavailable)
            except (ConfigError, ServingError) as error:
                log.warning("keeping the last good configuration: %s", error)

    # ---- the end ----

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            log.warning("told to stop a second time: dropping what is in flight")
            os._exit(128 + signal.SIGTERM)
        log.info("draining: finishing what is in flight")
        self._stop.set()

    async def _drain(self, *ports: GrpcPort | RestPort | None) -> None:
        """Take no more, finish what is in flight, end."""
        await self._set_health()
        await asyncio.gather(*(port.close() for port in ports if port is not None))
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        log.info("drained")


def _workers(options: Options, batching: Batching | None) -> int:
    """Return how many runs may be under way at once: more than there are CPUs for would only take memory."""
    if batching is not None:
        return batching.threads
    return options.session.threads.inter_op or len(os.sched_getaffinity(0))
