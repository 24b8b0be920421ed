"""Write requests for the quickstart's model, and the right answers of each version: what ``roadstead load`` takes.

    python -m configs.minilm.workload build/load --versions 1 2

writes ``requests.jsonl``, a sentence in each request, and ``expected.jsonl``. The answers are computed in numpy on the
same weights (``reference``), so that what a server says is compared with something that it has no part in.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from configs.minilm.embed import tokenizer
from configs.minilm.reference import Reference
from configs.minilm.weights import weights_of

WORDS: Final = (
    "the",
    "model",
    "serves",
    "short",
    "and",
    "long",
    "sentences",
    "of",
    "weather",
    "trains",
    "on",
    "rivers",
)
SHORTEST: Final = 4
LONGEST: Final = 24
"""Words of a sentence: those of a search, up to those of a line of text."""


def sentences(count: int) -> Iterator[str]:
    """Yield sentences of different lengths, the same ones every time."""
    chance = random.Random(7)  # noqa: S311  # which words it draws matters to nobody
    for _ in range(count):
        yield " ".join(chance.choices(WORDS, k=chance.randint(SHORTEST, LONGEST)))


def write(folder: Path, *, count: int, versions: Sequence[int]) -> tuple[Path, Path]:
    """Write both files and return their paths."""
    tokens = [tokenizer().encode(sentence).ids for sentence in sentences(count)]
    references = {version: Reference(weights_of(version)) for version in versions}
    folder.mkdir(parents=True, exist_ok=True)
    requests, expected = folder / "requests.jsonl", folder / "expected.jsonl"
    with requests.open("w", encoding="utf-8") as asked, expected.open("w", encoding="utf-8") as answered:
        for ids in tokens:
            json.dump({"inputs": {"input_ids": [ids], "attention_mask": [[1] * len(ids)]}}, asked)
            asked.write("\n")
            answers = {version: [round(value, 7) for value in one.embed(ids)] for version, one in references.items()}
            json.dump({version: {"outputs": {"embedding": [answer]}} for version, answer in answers.items()}, answered)
            answered.write("\n")
    return requests, expected


def main() -> int:
    """Write the files to the folder named on the command line, and say what to do with them."""
    parser = argparse.ArgumentParser(description="Write requests and right answers for `roadstead load`.")
    parser.add_argument("folder", type=Path, help="where requests.jsonl and expected.jsonl go")
    parser.add_argument("--count", type=int, default=100, help="sentences (default: %(default)s)")
    parser.add_argument("--versions", type=int, nargs="+", default=[1], help="of the model (default: 1)")
    given = parser.parse_args()
    requests, expected = write(given.folder, count=given.count, versions=given.versions)
    print(f"roadstead load minilm --rate 20/s --requests {requests} --expect {expected}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
