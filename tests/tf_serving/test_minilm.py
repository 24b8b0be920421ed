"""The quickstart's model, exported and served, against a computation of the same model outside TensorFlow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.minilm.embed import SENTENCES, embed, request, tokenizer, tokens
from configs.minilm.export import export
from configs.minilm.reference import Reference
from configs.minilm.weights import read_weights, weights_file
from roadstead_plugins.runtimes.tf_serving.server.engine import SavedModel, SessionConfig, Threads
from roadstead_plugins.runtimes.tf_serving.server.warmup import warm_up
from roadstead_plugins.runtimes.tf_serving.tensors import array_of
from tests.tf_serving.conftest import ROOT, Running, Start

COUNT = 24
"""Sentences of 1 to 120 words that are compared; ``benchmarks/serving.py`` takes 200."""


@pytest.fixture(scope="module")
def exported() -> Path:
    """The folder of the exported model; exporting takes seconds, and nothing where it was done before."""
    base = ROOT / "models" / "minilm"
    export(base)
    return base


@pytest.fixture(scope="module")
def model(exported: Path) -> SavedModel:
    """The model in this process."""
    return SavedModel(
        path=exported / "1", tags=["serve"], config=SessionConfig(threads=Threads(intra_op=1, inter_op=1))
    )


@pytest.fixture(scope="module")
def server(start_for_module: Start, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A server of version 1, whatever others are there, that batches and pads as the runtime starts it."""
    folder = tmp_path_factory.mktemp("minilm")
    models = folder / "models.config"
    models.write_text(
        f'model_config_list {{ config {{ name: "minilm" base_path: "{exported}" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: 1 } } } }"
    )
    batching = folder / "batching.config"
    batching.write_text(
        "max_batch_size { value: 32 } batch_timeout_micros { value: 20000 } pad_variable_length_inputs: true"
    )
    running = start_for_module(
        f"--model_config_file={models}",
        "--enable_batching",
        f"--batching_parameters_file={batching}",
    )
    running.wait_for({1: "AVAILABLE"}, "minilm")
    return running


def sentences(count: int) -> list[str]:
    """Return sentences of 1 to 120 words, lengths spread evenly, in an order without order."""
    chance = random.Random(7)  # noqa: S311  # which words it draws matters to nobody
    words = (
        "the",
        "model",
        "serves",
        "short",
        "and",
        "long",
        "sentences",
        "of",
        "tomorrow's",
        "weather",
        "on",
        "trains",
    )
    lengths = [round(1 + index * 119 / (count - 1)) for index in range(count)]
    chance.shuffle(lengths)
    return [" ".join(chance.choices(words, k=length)) for length in lengths]


def run(model: SavedModel, ids: NDArray[np.int32], mask: NDArray[np.int32]) -> NDArray[Any]:
    """Run the model in this process."""
    signature = model.signatures["serving_default"]
    feeds = {signature.inputs["input_ids"].name: ids, signature.inputs["attention_mask"].name: mask}
    return model.run(feeds, [signature.outputs["embedding"].name])[0]


def test_a_second_export_has_nothing_to_do(exported: Path) -> None:
    """Exporting again where the version is there and intact writes nothing."""
    before = (exported / "1" / "saved_model.pb").stat().st_mtime_ns
    assert export(exported) is False
    assert before == (exported / "1" / "saved_model.pb").stat().st_mtime_ns


def test_the_model_brings_what_warms_it_up(exported: Path, model: SavedModel) -> None:
    """The file of requests that TensorFlow wrote beside the model is read, and the model answers each of them."""
    assert 3 == warm_up(model, exported / "1")


def test_the_known_similarities(server: Running) -> None:
    """Served over gRPC, the example sentences have the similarities that the model is published with."""
    vectors = embed(f"{server.host}:8500", SENTENCES, model="minilm", timeout=30)
    assert [0.761, -0.017] == [round(float(value), 3) for value in vectors[1:] @ vectors[0]]


def test_batched_and_alone_agree_with_the_reference(server: Running) -> None:
    """Over mixed lengths, answers from batches, answers alone and the computation in numpy differ by less than 1e-5."""
    texts = sentences(COUNT)
    reference = Reference(read_weights(weights_file()))
    expected = np.array([reference.embed(tokenizer().encode(text).ids) for text in texts])
    alone = np.concatenate([embed(f"{server.host}:8500", [text], model="minilm", timeout=30) for text in texts])
    futures = [server.prediction.Predict.future(request([text], model="minilm"), timeout=60) for text in texts]
    batched = np.concatenate([array_of(future.result().outputs["embedding"]) for future in futures])
    assert np.abs(alone - expected).max() < 1e-5
    assert np.abs(batched - expected).max() < 1e-5
    assert np.abs(batched - alone).max() < 1e-5


@pytest.mark.parametrize("padding", [(0, 0), (101, 1), (102, 1), (2023, 1), (2023, 0)])
def test_what_follows_the_first_sep_changes_nothing(model: SavedModel, padding: Sequence[int]) -> None:
    """Whatever ids and mask stand behind the first [SEP], the embedding is the same to the last bits."""
    ids, mask = tokens(["A man is eating food."])
    alone = run(model, ids, mask)
    width = ((0, 0), (0, 9))
    padded = run(model, np.pad(ids, width, constant_values=padding[0]), np.pad(mask, width, constant_values=padding[1]))
    assert np.abs(padded - alone).max() < 1e-6


def test_an_embedding_has_length_one(model: SavedModel) -> None:
    """Each embedding is a vector of 384 numbers and of length 1, also of an empty sentence."""
    vectors = run(model, *tokens(["", "one", *sentences(3)]))
    assert (5, 384) == vectors.shape
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
