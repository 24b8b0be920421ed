"""Embed sentences with a running server, over gRPC ``Predict``, and print how alike they are.

    python -m configs.minilm.embed 127.0.0.1:8500 "A man is eating food." "Someone eats a meal."

compares the first sentence with each of the others; without sentences it takes three of its own. This is all that a
client needs: the model's tokenizer, and TensorFlow Serving's messages. It does not import TensorFlow.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from typing import Final

import grpc
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from configs.minilm.weights import tokenizer_file
from roadstead_plugins.runtimes.tf_serving.protos import predict_pb2, prediction_service_pb2_grpc
from roadstead_plugins.runtimes.tf_serving.tensors import array_of, proto_of

SENTENCES: Final = ("A man is eating food.", "Someone eats a meal.", "The stock market fell today.")

MAX_TOKENS: Final = 256
"""What the model was trained for; longer sentences are cut."""


@cache
def tokenizer() -> Tokenizer:
    """Return the model's tokenizer, cutting at ``MAX_TOKENS`` and not padding."""
    found = Tokenizer.from_file(str(tokenizer_file()))
    found.enable_truncation(MAX_TOKENS)
    found.no_padding()
    return found


def tokens(sentences: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return ids and attention mask, both [sentence, token], padded with zeros to the longest sentence."""
    encoded = tokenizer().encode_batch(list(sentences))
    shape = (len(encoded), max(len(sentence.ids) for sentence in encoded))
    ids, mask = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    for row, sentence in enumerate(encoded):
        ids[row, : len(sentence.ids)] = sentence.ids
        mask[row, : len(sentence.ids)] = 1
    return ids, mask


def request(sentences: Sequence[str], *, model: str) -> predict_pb2.PredictRequest:
    """Return the request for the embeddings of some sentences."""
    ids, mask = tokens(sentences)
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.inputs["input_ids"].CopyFrom(proto_of(ids))
    message.inputs["attention_mask"].CopyFrom(proto_of(mask))
    return message


def embed(address: str, sentences: Sequence[str], *, model: str, timeout: float) -> NDArray[np.float32]:
    """Return one row of 384 numbers for each sentence, of length 1. Raises ``grpc.RpcError``."""
    # A replica is on this machine or behind a gateway: never behind the proxy that the environment may name.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request(sentences, model=model), timeout=timeout, wait_for_ready=True)
    return array_of(response.outputs["embedding"])


def main() -> int:
    """Print the cosine similarity of the first sentence and each of the others."""
    parser = argparse.ArgumentParser(description="Compare sentences by a model that a server serves.")
    parser.add_argument("address", help="HOST:PORT of a server's gRPC")
    parser.add_argument("sentences", nargs="*", default=SENTENCES, help="the first is compared with the others")
    parser.add_argument("--model", default="minilm", help="the model's name (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=30, help="seconds (default: %(default)s)")
    given = parser.parse_args()
    try:
        vectors = embed(given.address, given.sentences, model=given.model, timeout=given.timeout)
    except grpc.RpcError as error:
        print(f"no embedding from {given.address}: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    # Rows of length 1: their dot product is the cosine of the angle between them.
    for sentence, similarity in zip(given.sentences[1:], vectors[1:] @ vectors[0], strict=True):
        print(f"{similarity:6.3f}  {given.sentences[0]!r} / {sentence!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
