"""The command line: TensorFlow Serving's flags, as far as we do what they say, and two of our own.

A flag that TensorFlow Serving has and we do not act on is refused like a misspelt one, never swallowed: a server that
ignores ``--ssl_config_file`` would look like one that encrypts.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs

from roadstead_plugins.runtimes.tf_serving.server.engine import SessionConfig, Threads

EXIT_USAGE = 64


@attrs.frozen(kw_only=True)
class Options:
    """What the command line says. Times are seconds; a port of 0 is not opened."""

    host: str
    grpc_port: int
    rest_port: int
    rest_timeout: float
    channel_arguments: tuple[tuple[str, int | str], ...]
    model_name: str
    model_base_path: str | None
    model_config_file: Path | None
    model_config_poll: float
    monitoring_config_file: Path | None
    enable_batching: bool
    batching_parameters_file: Path | None
    max_load_retries: int
    load_retry_interval: float
    poll_interval: float
    saved_model_tags: tuple[str, ...]
    session: SessionConfig
    allow_labels_for_unavailable: bool
    warm_up: bool
    memory_limit: int
    health_service: bool
    answer_as_content: bool


class _Parser(argparse.ArgumentParser):
    """Ends with the exit code of a usage error, and says which flag it was."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see --help\n")


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line, ending the process with code 64 and a text where it is wrong."""
    parser = _make_parser()
    given = parser.parse_args(arguments)
    if not given.model_base_path and not given.model_config_file:
        parser.error("one of --model_base_path and --model_config_file is required")
    if given.batching_parameters_file and not given.enable_batching:
        parser.error("--batching_parameters_file is set without --enable_batching")
    if not given.port and not given.rest_api_port:
        parser.error("--port and --rest_api_port are both 0; the server would have no door")
    if given.port == given.rest_api_port:
        parser.error("--rest_api_port cannot be the same as --port")
    both = given.tensorflow_session_parallelism
    return Options(
        host=given.host,
        grpc_port=given.port,
        rest_port=given.rest_api_port,
        rest_timeout=given.rest_api_timeout_in_ms / 1000,
        channel_arguments=given.grpc_channel_arguments,
        model_name=given.model_name,
        model_base_path=given.model_base_path,
        model_config_file=given.model_config_file,
        model_config_poll=given.model_config_file_poll_wait_seconds,
        monitoring_config_file=given.monitoring_config_file,
        enable_batching=given.enable_batching,
        batching_parameters_file=given.batching_parameters_file,
        max_load_retries=given.max_num_load_retries,
        load_retry_interval=max(0, given.load_retry_interval_micros) / 1e6,
        poll_interval=given.file_system_poll_wait_seconds,
        saved_model_tags=tuple(given.saved_model_tags.split(",")),
        session=SessionConfig(
            threads=Threads(
                intra_op=given.tensorflow_intra_op_parallelism or both,
                inter_op=given.tensorflow_inter_op_parallelism or both,
            ),
            gpu_memory_fraction=given.per_process_gpu_memory_fraction,
        ),
        allow_labels_for_unavailable=given.allow_version_labels_for_unavailable_models,
        warm_up=given.enable_model_warmup,
        memory_limit=given.memory_limit_bytes,
        health_service=given.enable_grpc_healthcheck_service,
        answer_as_content=given.enable_serialization_as_tensor_content,
    )


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="roadstead-tf-server",
        description="TensorFlow Serving's API on TensorFlow's C library.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on, for gRPC and REST (ours; TensorFlow Serving takes all)",
    )
    add("--port", type=_port, default=8500, help="port for gRPC; 0: none")
    add("--rest_api_port", type=_port, default=0, help="port for REST; 0: none")
    add("--rest_api_timeout_in_ms", type=int, default=30000, help="limit of a REST call")
    add("--grpc_channel_arguments", type=_channel_arguments, default=(), help="KEY=VALUE,... for the gRPC server")
    add("--enable_grpc_healthcheck_service", **_FLAG, default=True, help="serve grpc.health.v1")
    add("--enable_serialization_as_tensor_content", **_FLAG, default=False, help="answer in tensor_content")
    _add_models(parser)
    _add_engine(parser)
    return parser


def _add_models(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_name", default="default", help="name of the model at --model_base_path")
    add("--model_base_path", type=os.path.abspath, help="folder with the model's version folders")
    add("--model_config_file", type=Path, help="text ModelServerConfig; instead of the two above")
    add(
        "--model_config_file_poll_wait_seconds",
        type=_seconds,
        default=0,
        help="read that file again this often; 0: never",
    )
    add("--monitoring_config_file", type=Path, help="text MonitoringConfig")
    add("--file_system_poll_wait_seconds", type=_seconds, default=1, help="look for versions this often; 0: once")
    add("--max_num_load_retries", type=int, default=5, help="how often a failed load is repeated")
    add("--load_retry_interval_micros", type=int, default=60_000_000, help="pause before a repeated load")
    add("--saved_model_tags", default="serve", help="tags of the graph to load, comma-separated")
    add(
        "--allow_version_labels_for_unavailable_models",
        **_FLAG,
        default=False,
        help="let labels name what is not loaded",
    )
    add(
        "--enable_model_warmup",
        **_FLAG,
        default=True,
        help="run the requests that come with a version before it is served",
    )
    add(
        "--memory_limit_bytes",
        type=_count,
        default=0,
        help="load no version beside a served one that would not fit (ours); 0: no limit",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--enable_batching", **_FLAG, default=False, help="run requests that arrive together as one batch")
    add("--batching_parameters_file", type=Path, help="text BatchingParameters")
    add("--tensorflow_session_parallelism", type=_count, default=0, help="both of the next; 0: as many as CPUs")
    add("--tensorflow_intra_op_parallelism", type=_count, default=0, help="threads inside one operation")
    add("--tensorflow_inter_op_parallelism", type=_count, default=0, help="operations at once")
    add("--per_process_gpu_memory_fraction", type=_fraction, default=0.0, help="of a GPU's memory; 0: as needed")


def _truth(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


_FLAG: Final[Mapping[str, Any]] = {"type": _truth, "nargs": "?", "const": True}
"""A truth value as TensorFlow's flags have them: ``--flag``, ``--flag=true``, ``--flag=false``."""


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number below 65536")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a count; give 0 or more")


def _seconds(text: str) -> float:
    value = float(text)
    if value >= 0:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is negative; give 0 or more seconds")


def _fraction(text: str) -> float:
    value = float(text)
    if 0 <= value <= 1:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a fraction; give a number from 0 to 1")


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """Split ``KEY=VALUE,...``; a value that is a number is passed to gRPC as one."""
    pairs = []
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise argparse.ArgumentTypeError(f"{item!r} is not KEY=VALUE")
        pairs.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return tuple(pairs)
