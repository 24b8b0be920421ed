"""Export all-MiniLM-L6-v2 as a TensorFlow SavedModel that TensorFlow Serving and our embedded server can serve.

    python -m configs.minilm.export models/minilm

writes ``models/minilm/1``; ``--version 2`` writes a version 2 beside it, to roll out and back, which answers otherwise
(``weights.weights_of``). The only signature, ``serving_default``, takes ``input_ids`` and ``attention_mask`` (int32,
[batch, sequence], at most 512 long) and answers ``embedding`` (float32, [batch, 384]): mean-pooled over the tokens,
then L2-normalised. With it come the requests that a server warms it up with (``warmup``).

**Pad-safe**: what follows the first [SEP] of a row changes nothing, whatever the mask says there. TensorFlow Serving's
own batcher makes rows of one length by repeating each tensor's *first* element, which is a 1 in the mask and [CLS] in
the ids; a graph that believed the mask would then average over the padding.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from configs.minilm.weights import weights_file

STAMP: Final = "assets.extra/exported-from"
"""What the version was made from, and the size of each file: so a second run knows that it has nothing to do."""


def export(base: Path, version: int = 1) -> bool:
    """Write the SavedModel to ``base/VERSION`` and say whether there was anything to do.

    Atomic: the version is written beside and renamed, so a server that polls ``base`` never sees half of one. A version
    that is there but not intact is replaced.
    """
    target = base / str(version)
    source = fingerprint()
    if is_intact(target, source):
        return False
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Deferred: both import TensorFlow, five seconds and half a gigabyte, for nothing when the model is already there.
    from configs.minilm.graph import write_saved_model  # noqa: PLC0415
    from configs.minilm.warmup import write_warmup  # noqa: PLC0415

    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=base) as scratch:
        written = Path(scratch) / "model"
        write_saved_model(written, version)
        write_warmup(written)
        stamp(written, source)
        if target.exists():
            shutil.move(target, Path(scratch) / "replaced")
        written.rename(target)
    return True


def fingerprint() -> str:
    """Return what a version is made from: our code for it, and the weights by size (their package is pinned)."""
    sources = ("graph.py", "weights.py", "embed.py", "warmup.py")
    code = b"".join(Path(__file__).with_name(name).read_bytes() for name in sources)
    return f"{hashlib.sha256(code).hexdigest()} {weights_file().stat().st_size}"


def stamp(version: Path, source: str) -> None:
    """Record in the version folder what it was made from and the size of each of its files."""
    path = version / STAMP
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([source, *sizes(version)]) + "\n", encoding="utf-8")


def is_intact(version: Path, source: str) -> bool:
    """Whether the version folder was made from ``source`` and still has every file at its size."""
    try:
        recorded = (version / STAMP).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return recorded == [source, *sizes(version)]


def sizes(version: Path) -> list[str]:
    """Return ``PATH SIZE`` of each file of the version but the stamp, in order."""
    files = sorted(path for path in version.rglob("*") if path.is_file() and path != version / STAMP)
    return [f"{path.relative_to(version)} {path.stat().st_size}" for path in files]


def main() -> int:
    """Export to the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Export all-MiniLM-L6-v2 as a TensorFlow SavedModel.")
    parser.add_argument("base", type=Path, help="the model's folder, such as models/minilm; the version goes below it")
    parser.add_argument("--version", type=int, default=1, help="which one, from 1 on (default: %(default)s)")
    given = parser.parse_args()
    written = export(given.base, given.version)
    print(f"{given.base / str(given.version)}: {'written' if written else 'already there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
