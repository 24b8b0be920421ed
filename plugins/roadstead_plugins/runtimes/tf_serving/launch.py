"""How a server of either engine is started for a template: flags, environment and configuration files. Pure.

The variables of :mod:`roadstead.spi.runtime` stand in arguments and in the contents of files.
"""

from __future__ import annotations

import json
from typing import Final

from roadstead.model import BatchingSpec, GpuPart, Template
from roadstead.spi.runtime import Check, ConfigFile, Launch, Program

__all__ = ["EMBEDDED", "ENGINES", "FORMATS", "MODEL_SERVER", "launch", "problems", "threads"]

EMBEDDED: Final = "embedded"
MODEL_SERVER: Final = "tensorflow_model_server"
ENGINES: Final = (EMBEDDED, MODEL_SERVER)
FORMATS: Final = ("tf_saved_model",)

GRPC_PORT: Final = 8500
REST_PORT: Final = 8501

FOLDERS_EVERY: Final = 5
"""Seconds between two looks of a server into its model's folder."""

_MODELS: Final = "models.config"
_MONITORING: Final = "monitoring.config"
_BATCHING: Final = "batching.config"
_HEALTH: Final = "enable_grpc_healthcheck_service"

_OURS: Final = frozenset(
    {
        *("host", "memory_limit_bytes", "port", "rest_api_port", "grpc_channel_arguments", "grpc_socket_path"),
        *("model_name", "model_base_path", "model_config_file", "monitoring_config_file"),
        *("enable_batching", "batching_parameters_file"),
        # A server that read its file again would undo a reload.
        "model_config_file_poll_wait_seconds",
    }
)
"""Flags that follow from the template, and that ``runtime.args`` may therefore not set."""

_UNFIT_FOR_A_PATH: Final = frozenset("/:?#%\\\"'\n\r\t ")


def problems(template: Template) -> tuple[str, ...]:
    """Return what is wrong with a template for this runtime, a sentence each."""
    model, runtime = template.model, template.runtime
    found = []
    if runtime.engine not in ENGINES:
        found.append(f"engine {runtime.engine!r} is not known; use {' or '.join(ENGINES)}")
    if model.format not in FORMATS:
        found.append(f"model format {model.format!r} cannot be served; use {FORMATS[0]}")
    if model.version < 0:
        found.append(f"model version {model.version} is negative; versions are folders named 0, 1, 2 ...")
    if not model.name or _UNFIT_FOR_A_PATH & set(model.name):
        found.append(f"model name {model.name!r} cannot stand in a URL; use letters, digits, '.', '_' and '-'")
    for argument in runtime.args:
        flag = argument.lstrip("-").partition("=")[0]
        if flag in _OURS:
            found.append(f"argument {argument!r} is ours to set, from the rest of the template; take it out")
        elif not argument.startswith("--"):
            found.append(f"argument {argument!r} is not a flag; write --name=value")
    return (*found, *_batching_problems(runtime.batching))


def _batching_problems(batching: BatchingSpec | None) -> tuple[str, ...]:
    if batching is None:
        return ()
    counts = (
        ("max_batch_size", batching.max_batch_size),
        ("threads", batching.threads),
        ("max_enqueued", batching.max_enqueued),
    )
    return tuple(f"batching.{name} is {count}; it must be at least 1" for name, count in counts if count < 1)


def launch(template: Template) -> Launch:
    """Return how to start a server for ``template``, which must have no :func:`problems`."""
    embedded = template.runtime.engine == EMBEDDED
    batching = template.runtime.batching
    files = [ConfigFile(_MODELS, model_config(template)), ConfigFile(_MONITORING, _MONITORING_TEXT)]
    if batching is not None:
        files.append(ConfigFile(_BATCHING, batching_parameters(batching)))
    return Launch(
        program=Program(module="roadstead_plugins.runtimes.tf_serving.server")
        if embedded
        else Program(executable="tensorflow_model_server"),
        args=(*_arguments(template), *template.runtime.args),
        env=_environment(template),
        files=tuple(files),
        grpc_port=GRPC_PORT,
        rest_port=REST_PORT,
        image=template.runtime.image,
        rest_ready_path=f"/v1/models/{template.model.name}/versions/{template.model.version}",
        # A version that is loading or has ended is answered with 200, too: only the body tells. No version stands here,
        # so that a replica passes all through a reload.
        check=Check(path=f"/v1/models/{template.model.name}", expects='"AVAILABLE"'),
        # TensorFlow Serving has no handler for SIGTERM: it is ended at once, or, as a container's first process, never.
        finishes=embedded,
        # Its own, where it can be asked for at all, says SERVING once and for ever; before 2.15 the flag ends it.
        says_health=embedded and not any(_HEALTH in argument for argument in template.runtime.args),
    )


def _arguments(template: Template) -> tuple[str, ...]:
    # TensorFlow Serving itself has no flag for the address, where it listens on all of them, and none for the memory.
    ours = (
        ("--host=$(HOST)", f"--memory_limit_bytes={template.resources.memory.bytes}")
        if template.runtime.engine == EMBEDDED
        else ()
    )
    batching = ("--enable_batching=true", f"--batching_parameters_file=$(CONFIG_DIR)/{_BATCHING}")
    gpu = template.resources.gpu
    # The share of the device's time stands for the share of its memory; nothing enforces it but the server's own word.
    fraction = (f"--per_process_gpu_memory_fraction={gpu.share.milli / 1000:g}",) if isinstance(gpu, GpuPart) else ()
    return (
        *ours,
        "--port=$(GRPC_PORT)",
        "--rest_api_port=$(REST_PORT)",
        # Two servers that share a port take turns in answering, whatever each of them serves.
        "--grpc_channel_arguments=grpc.so_reuseport=0",
        f"--model_config_file=$(CONFIG_DIR)/{_MODELS}",
        f"--monitoring_config_file=$(CONFIG_DIR)/{_MONITORING}",
        *(batching if template.runtime.batching is not None else ()),
        f"--tensorflow_session_parallelism={threads(template)}",
        # A bad model is a crash that the backend backs off from and explains, not five silent minutes of retries.
        "--max_num_load_retries=0",
        # One exact version is served, so there is nothing to find out in between; a new one comes by a call.
        f"--file_system_poll_wait_seconds={FOLDERS_EVERY}",
        *fraction,
    )


def threads(template: Template) -> int:
    """Return how many threads TensorFlow gets: the CPU limit rounded up, for more would only wait for quota."""
    return max(1, -(-template.resources.cpu.milli // 1000))


def _environment(template: Template) -> tuple[tuple[str, str], ...]:
    found = []
    if template.resources.gpu is None:
        found.append(("CUDA_VISIBLE_DEVICES", "-1"))
    if template.runtime.engine == EMBEDDED:
        found.append(
            ("OPENBLAS_NUM_THREADS", "1")
        )  # numpy only moves bytes here; its threads would be stacks for nothing
    return tuple(found)


def model_config(template: Template) -> str:
    """Return the ``ModelServerConfig`` that serves exactly the version of the template."""
    return (
        "model_config_list {\n"
        "  config {\n"
        f"    name: {json.dumps(template.model.name)}\n"
        '    base_path: "$(MODEL_DIR)"\n'
        '    model_platform: "tensorflow"\n'
        f"    model_version_policy {{ specific {{ versions: {template.model.version} }} }}\n"
        "  }\n"
        "}\n"
    )


METRICS_PATH: Final = "/monitoring/prometheus/metrics"
"""Where a server tells its metrics, over REST."""

_MONITORING_TEXT: Final = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'


def batching_parameters(batching: BatchingSpec) -> str:
    """Return the ``BatchingParameters`` for the template's batching.

    Sentences differ in length, so they are padded: a model must bear TensorFlow Serving's padding (see the reference of
    the embedded server).
    """
    return (
        f"max_batch_size {{ value: {batching.max_batch_size} }}\n"
        f"batch_timeout_micros {{ value: {batching.timeout.ms * 1000} }}\n"
        f"num_batch_threads {{ value: {batching.threads} }}\n"
        f"max_enqueued_batches {{ value: {batching.max_enqueued} }}\n"
        "pad_variable_length_inputs: true\n"
    )
