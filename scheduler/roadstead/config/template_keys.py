"""The keys of a deployment's template: what a running replica embodies. A change of any of them is a new revision."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from roadstead.config.amounts import CPU, DURATION, GPU_SHARE, MEMORY, duration, memory
from roadstead.config.entries import ModelEntry, RuntimeEntry, SecretEntry
from roadstead.config.plugins import Backends
from roadstead.config.shapes import (
    ByKind,
    Flag,
    Form,
    Forms,
    Json,
    Key,
    ListOf,
    Maybe,
    Named,
    PluginName,
    Table,
    Text,
    Whole,
    table,
)
from roadstead.config.texts import (
    ATTRIBUTE,
    CLUSTER_NAME,
    DIGEST,
    MODEL_NAME,
    PATTERN,
    SECRET_REF,
    SOURCE,
    VARIABLE_NAME,
)
from roadstead.model import (
    BatchingSpec,
    Constraint,
    GpuPart,
    GpuPartition,
    HealthSpec,
    Operator,
    PlacementSpec,
    Resources,
    Spread,
    StopSpec,
    WholeGpus,
)

__all__ = ["template_keys"]

_WORD: Final = Text(most=253)
_LINE: Final = Text(most=65536, controls=True)
_GPU_MODELS: Final = Key(
    name="model",
    field="models",
    shape=ListOf(item=_WORD, noun="GPU models", most=100, unordered=True),
    doc="GPU models that will do; any where empty",
)
_GPU_MEMORY: Final = Key(name="memory", shape=MEMORY, doc="GPU memory that each must have")

_GPU: Final = Forms(
    noun="a GPU request",
    forms=(
        Form(
            marker="count",
            table=table(
                WholeGpus,
                "a request for whole GPUs",
                Key(name="count", shape=Whole(least=1, most=1024), doc="how many whole devices"),
                _GPU_MODELS,
                _GPU_MEMORY,
            ),
        ),
        Form(
            marker="share",
            table=table(
                GpuPart,
                "a request for a share of a GPU",
                Key(name="share", shape=GPU_SHARE, doc="how much of one device"),
                Key(name="memory", shape=MEMORY, doc="how much of the device's memory"),
                _GPU_MODELS,
            ),
        ),
        Form(
            marker="partition",
            table=table(
                GpuPartition,
                "a request for a GPU partition",
                Key(
                    name="partition",
                    field="profile",
                    shape=_WORD,
                    doc="the profile of a hardware partition, such as 1g.10gb",
                ),
            ),
        ),
    ),
)


def _constraint(operator: Operator, *, attribute: str, values: tuple[str, ...]) -> Constraint:
    return Constraint(attribute=attribute, operator=operator, values=values)


def _exists(*, attribute: str, exists: bool) -> Constraint:  # noqa: ARG001  # it can only be true
    return Constraint(attribute=attribute, operator=Operator.EXISTS)


def _matches(*, attribute: str, matches: str) -> Constraint:
    return Constraint(attribute=attribute, operator=Operator.MATCHES, values=(matches,))


_ATTRIBUTE_KEY: Final = Key(
    name="attribute", shape=ATTRIBUTE, doc="the node attribute that is looked at", required=True
)


def _constraint_form(operator: Operator, doc: str) -> Form:
    values = ListOf(item=_WORD, noun="values", least=1, unordered=True)
    key = Key(name=operator.value, field="values", shape=values, doc=doc, required=True)
    noun = "a constraint"
    return Form(
        marker=key.name, table=Table(noun=noun, keys=(_ATTRIBUTE_KEY, key), builds=partial(_constraint, operator))
    )


_CONSTRAINT: Final = Forms(
    noun="a constraint",
    forms=(
        _constraint_form(Operator.IN, "the attribute has one of these values"),
        _constraint_form(Operator.NOT_IN, "the attribute has none of these values, or is not there"),
        Form(
            marker="exists",
            table=Table(
                noun="a constraint",
                keys=(
                    _ATTRIBUTE_KEY,
                    Key(
                        name="exists",
                        shape=Flag(only=True),
                        doc="the attribute is there, whatever its value",
                        required=True,
                    ),
                ),
                builds=_exists,
            ),
        ),
        Form(
            marker="matches",
            table=Table(
                noun="a constraint",
                keys=(
                    _ATTRIBUTE_KEY,
                    Key(
                        name="matches",
                        shape=PATTERN,
                        doc="the whole value matches this regular expression",
                        required=True,
                    ),
                ),
                builds=_matches,
            ),
        ),
    ),
)

_MODEL: Final = table(
    ModelEntry,
    "a model",
    Key(
        name="source",
        shape=ByKind(
            noun="a path or URL (or one for each cluster)",
            text=SOURCE,
            entries=Named(item=SOURCE, names=CLUSTER_NAME, label="CLUSTER", least=1),
        ),
        doc="where the folder with the version folders is: a path, relative to the fleet file, or an http, https, s3, "
        "gs, oci or pvc URL; or one for each cluster by name",
        required=True,
    ),
    Key(name="version", shape=Whole(most=2**63 - 1), doc="the one version that is served; a replica never changes it"),
    Key(name="name", shape=Maybe(MODEL_NAME), doc="what clients ask for", default_doc="the deployment's name"),
    Key(
        name="format",
        shape=Text(noun="a model format", most=64),
        doc="what the files are; the runtime says which it can serve",
    ),
    Key(
        name="digest",
        shape=Maybe(DIGEST),
        doc="SHA-256 over the version's files, checked before a replica may be ready; `roadstead model digest PATH` "
        "prints it",
    ),
)

_BATCHING: Final = table(
    BatchingSpec,
    "batching",
    Key(name="max_batch_size", shape=Whole(least=1, most=65536), doc="at most so many inputs in one batch"),
    Key(name="timeout", shape=duration("0", "1m"), doc="how long a batch waits to be filled"),
    Key(name="threads", shape=Whole(least=1, most=1024), doc="how many batches are worked on at once"),
    Key(
        name="max_enqueued",
        shape=Whole(least=1, most=1_000_000),
        doc="at most so many batches wait; more are refused as UNAVAILABLE",
    ),
)

_RESOURCES: Final = table(
    Resources,
    "resources",
    Key(name="cpu", shape=CPU, doc="processor time that one replica may use"),
    Key(
        name="memory",
        shape=memory("1Mi", "a bare number is bytes: write 512Mi or 2Gi"),
        doc="memory that one replica may use; over it, it is stopped as out of memory",
    ),
    Key(name="disk", shape=MEMORY, doc="disk that one replica may use"),
    Key(name="gpu", shape=Maybe(_GPU), doc="whole devices, a share of one, or a partition of one"),
)

_SECRET: Final = table(
    SecretEntry,
    "a secret",
    Key(
        name="ref",
        shape=SECRET_REF,
        doc="where the value is looked up when a replica starts: file:/path, env:NAME or kubernetes:secret/key",
    ),
    Key(name="version", shape=Whole(), doc="raise it when the secret's value has changed: that makes a new revision"),
)

_HEALTH: Final = table(
    HealthSpec,
    "health",
    Key(name="start_within", shape=duration("1s", "24h"), doc="how long a replica may take to be ready"),
    Key(name="every", shape=duration("100ms", "1h"), doc="how often it is asked"),
    Key(name="failures", shape=Whole(least=1, most=1000), doc="so many bad answers in a row and it is not ready"),
    Key(
        name="node_lost_after",
        shape=duration("0", "168h"),
        doc="how long a node may be silent before its replicas are replaced",
    ),
    Key(
        name="canary",
        shape=Maybe(Json(noun="the body of a REST predict request")),
        doc="the body of a REST predict request that must be answered before a replica is ready",
    ),
)

_STOP: Final = table(
    StopSpec,
    "stop",
    Key(
        name="drain_within", shape=DURATION, doc="how long requests in flight may take after the replica left the table"
    ),
    Key(name="kill_after", shape=duration("0", "1h"), doc="how long it has from SIGTERM to SIGKILL"),
)

_SPREAD: Final = table(
    Spread,
    "spread",
    Key(name="by", shape=ATTRIBUTE, doc="the node attribute over whose values replicas are spread"),
    Key(
        name="max_per",
        shape=Maybe(Whole(least=1)),
        doc="at most so many replicas to one value, over all revisions; null: evenly, where possible",
    ),
)

_PLACEMENT: Final = table(
    PlacementSpec,
    "placement",
    Key(
        name="constraints",
        shape=ListOf(item=_CONSTRAINT, noun="constraints", most=100),
        doc="what a node must satisfy, all of it",
    ),
    Key(name="spread", shape=Maybe(_SPREAD), doc="how replicas are spread over nodes"),
)


def _options_by_backend(backends: Backends) -> Table:
    """Return ``backend_options``: a table whose keys are the backends, each with its options for a deployment."""
    installed = (
        Key(name=name, shape=of, doc=f"what only the backend {name} has", default=None)
        for name, of in backends.deployment_options.items()
    )
    return Table(noun="backend_options", keys=tuple(installed), builds=_given)


def _given(**options: object) -> Mapping[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def template_keys(backends: Backends, runtime: PluginName) -> tuple[Key, ...]:
    """Return the keys of what a replica embodies, with the plugins that are there."""
    runtime_table = table(
        RuntimeEntry,
        "a runtime",
        Key(name="name", shape=runtime, doc="the serving engine's plugin"),
        Key(
            name="engine",
            shape=Maybe(Text(noun="an engine", most=64)),
            doc="which of the runtime's engines; two engines are two revisions",
            default_doc="the runtime's first one, embedded for tf_serving",
        ),
        Key(
            name="image",
            shape=Maybe(Text(noun="an image")),
            doc="the container image, for clusters that run containers",
        ),
        Key(name="batching", shape=Maybe(_BATCHING), doc="how the server puts requests together; null: not at all"),
        Key(name="args", shape=ListOf(item=_LINE, noun="arguments"), doc="more arguments for the server"),
    )
    return (
        Key(name="model", shape=_MODEL, doc="the one model version that a replica serves", required=True, revises=True),
        Key(name="runtime", shape=runtime_table, doc="the serving engine and how it is started", revises=True),
        Key(
            name="resources",
            shape=_RESOURCES,
            doc="what one replica may use; it is also what is set aside for it",
            revises=True,
        ),
        Key(
            name="env",
            shape=Named(item=_LINE, names=VARIABLE_NAME, label="VARIABLE"),
            doc="environment variables of the server; values are text",
            revises=True,
        ),
        Key(
            name="secrets",
            shape=Named(item=_SECRET, names=VARIABLE_NAME, label="VARIABLE"),
            doc="environment variables whose value is looked up where the replica starts",
            revises=True,
        ),
        Key(name="health", shape=_HEALTH, doc="when a replica counts as started, ready and lost", revises=True),
        Key(name="stop", shape=_STOP, doc="how a replica is taken down", revises=True),
        Key(name="placement", shape=_PLACEMENT, doc="where replicas may run", revises=True),
        Key(
            name="backend_options",
            shape=_options_by_backend(backends),
            doc="by backend, what only that one has",
            revises=True,
        ),
    )
