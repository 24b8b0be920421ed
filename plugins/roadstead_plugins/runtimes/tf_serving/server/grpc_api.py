"""TensorFlow Serving's gRPC services, on ``grpc.aio``."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import attrs
import grpc
from google.protobuf.message import Message

from roadstead_plugins.runtimes.tf_serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    status_pb2,
)
from roadstead_plugins.runtimes.tf_serving.server.configs import models_of
from roadstead_plugins.runtimes.tf_serving.server.door import Door
from roadstead_plugins.runtimes.tf_serving.server.metrics import Metrics
from roadstead_plugins.runtimes.tf_serving.server.models import Models, VersionStatus
from roadstead_plugins.runtimes.tf_serving.server.predict import Predictor, Target
from roadstead_plugins.runtimes.tf_serving.server.signatures import arrays_of
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.tensors import proto_of

SIGNATURE_DEF = "signature_def"
_CODES = {status.value[0]: status for status in grpc.StatusCode}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


async def abort(context: Context, error: ServingError) -> NoReturn:
    """End the call with the error's code and text."""
    await context.abort(_CODES[error.code], error.message)


def target_of(spec: model_pb2.ModelSpec) -> Target:
    """Return which model a request means."""
    choice = spec.WhichOneof("version_choice")
    return Target(
        name=spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
        signature=spec.signature_name,
    )


@attrs.frozen(kw_only=True)
class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict and GetModelMetadata; the three other methods say that they are not there."""

    predictor: Predictor
    metrics: Metrics
    door: Door
    as_content: bool

    async def Predict(  # noqa: N802  # the service's own name
        self, request: predict_pb2.PredictRequest, context: Context
    ) -> predict_pb2.PredictResponse:
        """Run a model."""
        name = request.model_spec.name
        started = asyncio.get_running_loop().time()
        try:
            with self.door.call():
                await self.door.admitted()
                response = await self._predict(request)
        except ServingError as error:
            self.metrics.request(name, error.code)
            await abort(context, error)
        except asyncio.CancelledError:  # the client gave up, or its time was over
            self.metrics.request(name, Code.CANCELLED)
            raise
        self.metrics.request(name, Code.OK)
        seconds = asyncio.get_running_loop().time() - started
        self.metrics.succeeded(name, api="Predict", entrypoint="GRPC", seconds=seconds)
        return response

    async def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        answer = await self.predictor.predict(
            target_of(request.model_spec), lambda _signature: arrays_of(request.inputs), request.output_filter
        )
        response = predict_pb2.PredictResponse(
            model_spec=model_pb2.ModelSpec(name=request.model_spec.name, signature_name=answer.signature)
        )
        response.model_spec.version.value = answer.version
        for alias, array in answer.outputs.items():
            response.outputs[alias].CopyFrom(proto_of(array, as_content=self.as_content))
        return response

    async def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Return a model's signatures."""
        try:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != SIGNATURE_DEF:
                    raise invalid(f"Metadata field {field} is not supported")
            return metadata(self.predictor.models, target_of(request.model_spec))
        except ServingError as error:
            await abort(context, error)

    async def Classify(self, request: Message, context: Context) -> NoReturn:  # noqa: N802, ARG002
        """Refuse."""
        await _refuse(context, "Classify")

    async def Regress(self, request: Message, context: Context) -> NoReturn:  # noqa: N802, ARG002
        """Refuse."""
        await _refuse(context, "Regress")

    async def MultiInference(self, request: Message, context: Context) -> NoReturn:  # noqa: N802, ARG002
        """Refuse."""
        await _refuse(context, "MultiInference")


async def _refuse(context: Context, method: str) -> NoReturn:
    await abort(
        context,
        ServingError(
            Code.UNIMPLEMENTED,
            f"{method} is not implemented by Roadstead's embedded server; use Predict, or engine "
            "tensorflow_model_server",
        ),
    )


def metadata(models: Models, target: Target) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Return a version's signatures as the message."""
    with models.use(target.name, version=target.version, label=target.label) as servable:
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=model_pb2.ModelSpec(name=servable.name))
        response.model_spec.version.value = servable.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in servable.model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


@attrs.frozen(kw_only=True)
class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus and HandleReloadConfigRequest."""

    models: Models
    labels_may_wait: bool
    reconfigured: Callable[[], None]
    """Called when a configuration was given by call, so that the file is not read again over it."""

    async def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: Context
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Say where each version of a model, or one of them, is in its life."""
        try:
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            target = target_of(request.model_spec)
            return status_response(self.models.statuses(target.name, version=target.version, label=target.label))
        except ServingError as error:
            await abort(context, error)

    async def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: Context
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serve other models from now on; returns when every new one is available."""
        try:
            if request.config.WhichOneof("config") != "model_config_list":
                raise invalid(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                    "Only ModelConfigList is currently supported"
                )
            configs = models_of(request.config)
            self.reconfigured()
            await self.models.reconfigure(configs, labels_may_wait=self.labels_may_wait)
        except ServingError as error:
            await abort(context, error)
        return model_management_pb2.ReloadConfigResponse(status=status_pb2.StatusProto())


def status_response(statuses: tuple[VersionStatus, ...]) -> get_model_status_pb2.GetModelStatusResponse:
    """Return versions' states as the message."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        entry = response.model_version_status.add(version=status.version, state=status.state.value)
        entry.status.SetInParent()
        if status.error is not None:
            entry.status.error_code = status.error.code.value
            entry.status.error_message = status.error.message
    return response
