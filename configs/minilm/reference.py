"""The same model in numpy alone, on the same weights: what the served answers are held against.

Straight from the definition of BERT, one sentence at a time and without padding, so that it shares neither code nor
tricks with ``graph``.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from configs.minilm.weights import HEADS, HIDDEN, LAYER_NORM_EPSILON, LAYERS, Weights

Matrix = NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Reference:
    """The model, computed in float64: its own rounding errors are far below what it is compared with."""

    def __init__(self, weights: Weights) -> None:
        self._weights = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}

    def embed(self, ids: Sequence[int]) -> Matrix:
        """Return the embedding of one sentence from its token ids, [CLS] and [SEP] included."""
        hidden = self._weights["embeddings.word_embeddings.weight"][list(ids)]
        hidden = hidden + self._weights["embeddings.position_embeddings.weight"][: len(ids)]
        hidden = hidden + self._weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._normalised("embeddings.LayerNorm", hidden)
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}"
            attended = self._linear(f"{prefix}.attention.output.dense", self._attention(prefix, hidden))
            hidden = self._normalised(f"{prefix}.attention.output.LayerNorm", attended + hidden)
            wide = self._linear(f"{prefix}.intermediate.dense", hidden)
            narrow = self._linear(f"{prefix}.output.dense", wide * 0.5 * (1 + _erf(wide / math.sqrt(2))))
            hidden = self._normalised(f"{prefix}.output.LayerNorm", narrow + hidden)
        mean: Matrix = hidden.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _attention(self, prefix: str, hidden: Matrix) -> Matrix:
        query, key, value = (
            self._linear(f"{prefix}.attention.self.{name}", hidden) for name in ("query", "key", "value")
        )
        size = HIDDEN // HEADS
        mixed = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed.append(weights / weights.sum(axis=1, keepdims=True) @ value[:, part])
        return np.concatenate(mixed, axis=1)

    def _linear(self, name: str, value: Matrix) -> Matrix:
        result: Matrix = value @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _normalised(self, name: str, value: Matrix) -> Matrix:
        centred = value - value.mean(axis=1, keepdims=True)
        variance = (centred**2).mean(axis=1, keepdims=True)
        scaled: Matrix = centred / np.sqrt(variance + LAYER_NORM_EPSILON)
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
