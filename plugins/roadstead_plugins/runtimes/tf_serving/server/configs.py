"""The files that the flags name, in protobuf's text format as TensorFlow Serving reads them, as values of our own.

``ModelServerConfig`` comes with ``tensorflow-serving-api``; the two other messages do not, and are declared here.
"""

import os
from pathlib import Path
from typing import Any, Final

import attrs
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from roadstead_plugins.runtimes.tf_serving.protos import model_server_config_pb2
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.server.versions import All, Latest, Policy, Specific

PROMETHEUS_PATH: Final = "/monitoring/prometheus/metrics"

_Field = descriptor_pb2.FieldDescriptorProto


class ConfigError(Exception):
    """A configuration file that cannot be read or does not say what it should."""


@attrs.frozen(kw_only=True)
class Batching:
    """How requests are put together. The defaults are those of TensorFlow's ``SharedBatchScheduler``."""

    max_batch_size: int = 1000
    timeout: float = 0.0
    """Seconds that the first request of a batch waits for others."""
    max_enqueued_batches: int = 10
    threads: int = attrs.field(factory=lambda: os.cpu_count() or 1)
    thread_pool_name: str = "model_server_batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False


@attrs.frozen(kw_only=True)
class ModelConfig:
    """One model to serve: the folder with its versions, which of them, and names for some."""

    name: str
    base_path: str
    policy: Policy = attrs.field(factory=lambda: Latest(1))
    labels: tuple[tuple[str, int], ...] = ()


def read_models(path: Path) -> tuple[ModelConfig, ...]:
    """Read a ``ModelServerConfig`` file."""
    message = model_server_config_pb2.ModelServerConfig()
    _read(path, message)
    try:
        return models_of(message)
    except ServingError as error:
        raise ConfigError(f"{path}: {error.message}") from error


def models_of(message: model_server_config_pb2.ModelServerConfig) -> tuple[ModelConfig, ...]:
    """Return the models of a ``ModelServerConfig``, raising ``ServingError`` with TensorFlow Serving's texts."""
    if message.WhichOneof("config") == "custom_model_config":
        raise invalid("ModelServer does not yet support custom model config.")
    found = tuple(_model(config) for config in message.model_config_list.config)
    names = [model.name for model in found]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
    return found


def _model(config: Any) -> ModelConfig:
    if config.model_platform not in ("", "tensorflow"):
        raise invalid(f"model {config.name}: model_platform {config.model_platform!r} is not supported; use tensorflow")
    if not config.name or not config.base_path:
        raise invalid(f"model {config.name!r} needs both a name and a base_path")
    if not Path(config.base_path).is_absolute():
        raise invalid(
            f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"
        )
    return ModelConfig(
        name=config.name,
        base_path=config.base_path,
        policy=_policy(config.model_version_policy),
        labels=tuple(sorted(config.version_labels.items())),
    )


def _policy(policy: Any) -> Policy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return All()
    if choice == "specific":
        return Specific(frozenset(policy.specific.versions))
    if choice in (None, "latest"):
        return Latest(max(1, policy.latest.num_versions))
    raise ServingError(Code.INTERNAL, f"Unhandled servable version_policy: {choice}")


def read_batching(path: Path | None) -> Batching:
    """Read a ``BatchingParameters`` file; without one, the defaults."""
    if path is None:
        return Batching()
    message = _BatchingParameters()
    _read(path, message)
    given: dict[str, Any] = {
        ours: getattr(message, theirs).value
        for theirs, ours in (
            ("max_batch_size", "max_batch_size"),
            ("max_enqueued_batches", "max_enqueued_batches"),
            ("num_batch_threads", "threads"),
            ("thread_pool_name", "thread_pool_name"),
        )
        if message.HasField(theirs)
    }
    if message.HasField("batch_timeout_micros"):
        given["timeout"] = message.batch_timeout_micros.value / 1e6
    batching = Batching(
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
        **given,
    )
    _check(batching, path)
    return batching


def _check(batching: Batching, path: Path) -> None:
    for name in ("max_batch_size", "max_enqueued_batches", "threads"):
        if getattr(batching, name) < 1:
            raise ConfigError(f"{path}: {name} must be at least 1; was {getattr(batching, name)}")
    if batching.timeout < 0:
        raise ConfigError(f"{path}: batch_timeout_micros must not be negative")
    sizes = batching.allowed_batch_sizes
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != batching.max_batch_size):
        raise ConfigError(f"{path}: allowed_batch_sizes must rise and end with max_batch_size; were {list(sizes)}")


def read_monitoring(path: Path | None) -> str | None:
    """Read a ``MonitoringConfig`` file and return the path to serve metrics at, or ``None`` for nowhere."""
    if path is None:
        return None
    message = _MonitoringConfig()
    _read(path, message)
    if not message.prometheus_config.enable:
        return None
    return message.prometheus_config.path or PROMETHEUS_PATH


def _read(path: Path, message: Message) -> None:
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    except text_format.ParseError as error:
        raise ConfigError(f"{path}: invalid {message.DESCRIPTOR.name}: {error}") from error


def _declare() -> tuple[type[Any], type[Any]]:
    """Declare ``BatchingParameters`` and ``MonitoringConfig``, field for field as in TensorFlow Serving's sources."""
    file = descriptor_pb2.FileDescriptorProto(
        name="roadstead/tf_serving_configs.proto",
        package="roadstead.tf_serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    batching = file.message_type.add(name="BatchingParameters")
    numbers = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(numbers, start=1):
        _add(batching, name, number, _Field.TYPE_MESSAGE, of=".google.protobuf.Int64Value")
    _add(batching, "thread_pool_name", 5, _Field.TYPE_MESSAGE, of=".google.protobuf.StringValue")
    _add(batching, "allowed_batch_sizes", 6, _Field.TYPE_INT64, repeated=True)
    _add(batching, "pad_variable_length_inputs", 7, _Field.TYPE_BOOL)
    prometheus = file.message_type.add(name="PrometheusConfig")
    _add(prometheus, "enable", 1, _Field.TYPE_BOOL)
    _add(prometheus, "path", 2, _Field.TYPE_STRING)
    monitoring = file.message_type.add(name="MonitoringConfig")
    _add(monitoring, "prometheus_config", 1, _Field.TYPE_MESSAGE, of=".roadstead.tf_serving.PrometheusConfig")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    batching_type, monitoring_type = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"roadstead.tf_serving.{name}"))
        for name in ("BatchingParameters", "MonitoringConfig")
    )
    return batching_type, monitoring_type


def _add(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: Any, *, of: str = "", repeated: bool = False
) -> None:
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    message.field.add(name=name, number=number, type=kind, label=label, type_name=of or None)


_BatchingParameters, _MonitoringConfig = _declare()
