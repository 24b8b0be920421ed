"""Warming a model up: running the requests that came with it, before it counts as available.

TensorFlow prepares a graph when it first runs, which takes many times what the run takes. TensorFlow Serving's remedy
is a file of requests in the version's folder; what it may hold is said in ``saved_model_warmup_util.cc``. Here only
requests for ``Predict`` are run, for others we do not answer either.
"""

import logging
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

from google.protobuf.message import DecodeError

from roadstead_plugins.runtimes.tf_serving.protos import bare_tensorflow, predict_pb2
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel
from roadstead_plugins.runtimes.tf_serving.server.signatures import (
    DEFAULT_SIGNATURE,
    arrays_of,
    checked,
    signature_of,
    wanted_outputs,
)
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid

with bare_tensorflow():
    from tensorflow_serving.apis import prediction_log_pb2

log = logging.getLogger(__name__)

FILE: Final = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where the requests are, below a version's folder."""

MAX_RECORDS: Final = 1000

_LENGTH: Final = struct.Struct("<Q")
_CHECK: Final = struct.Struct("<I")


def warm_up(model: SavedModel, version: Path) -> int:
    """Run the requests of a version's folder on its model, and return how many there were; 0 without a file.

    Raises ``ServingError`` for a file that is damaged or too long, and for a request that the model refuses.
    """
    path, count = version / FILE, 0
    try:
        with path.open("rb") as file:
            for record in records(file):
                count += 1
                if count > MAX_RECORDS:
                    raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
                _run(model, record, path)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise ServingError(Code.UNKNOWN, f"cannot read {path}: {error}") from error
    return count


def _run(model: SavedModel, record: bytes, path: Path) -> None:
    try:
        entry = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record: {error} from {path}") from error
    kind = entry.WhichOneof("log_type")
    if kind != "predict_log":
        log.warning("passing over a warm-up request of type %s in %s: only predict_log is run", kind, path)
        return
    request: predict_pb2.PredictRequest = entry.predict_log.request
    signature = signature_of(model, request.model_spec.signature_name or DEFAULT_SIGNATURE)
    inputs = checked(arrays_of(request.inputs), signature)
    model.run(inputs, tuple(wanted_outputs(signature, request.output_filter).values()))


def records(file: BinaryIO) -> Iterator[bytes]:
    """Yield each record of a TFRecord file: length, its checksum, the record, its checksum (``record_writer.h``).

    Raises ``ServingError`` with DATA_LOSS where something is missing or damaged.
    """
    while length := file.read(_LENGTH.size):
        if len(length) < _LENGTH.size or _masked(length) != _check(file):
            raise _damaged("corrupted record")
        (size,) = _LENGTH.unpack(length)
        record = file.read(size)
        if len(record) < size:
            raise _damaged("truncated record")
        if _masked(record) != _check(file):
            raise _damaged("corrupted record")
        yield record


def _check(file: BinaryIO) -> int:
    found = file.read(_CHECK.size)
    if len(found) < _CHECK.size:
        raise _damaged("truncated record")
    return int(_CHECK.unpack(found)[0])


def _damaged(what: str) -> ServingError:
    return ServingError(Code.DATA_LOSS, f"{what}. Please verify your warmup data is in TFRecord format.")


def _masked(data: bytes) -> int:
    """Return the checksum as TFRecord stores it: rotated and moved, so that it is not one of data with checksums."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the Castagnoli checksum, which ``zlib`` has not.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    def remainder(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        return byte

    return tuple(remainder(byte) for byte in range(256))
