"""Use the quickstart's model once and say how to go on: the last step of ``make run``.

    roadstead endpoints minilm -o json | python -m configs.minilm.demo

reads from standard input where the model answers, embeds three sentences over gRPC ``Predict`` and prints how alike
they are, then a request for ``curl`` and the commands to try next.
"""

import json
import sys
from typing import Final

import grpc
import numpy as np
from numpy.typing import NDArray

from configs.minilm.embed import SENTENCES, embed, tokens

MODEL: Final = "minilm"
NEXT: Final = (
    ("status --watch", "the fleet, live"),
    ("why minilm", "why it is as it is, in numbers"),
    ("logs -f minilm", "what its servers print"),
    ("events -f", "what happened; kill -9 a server and watch"),
    ("scale minilm 3", "one more replica"),
    ("plan", "what saving a change of the file would do"),
)


def told(address: str, replicas: int, vectors: NDArray[np.float32]) -> str:
    """Return what to show: how alike the sentences are, where the model answers, and what to try."""
    rest_at = f"http://{address}"
    lines = [
        "",
        f"{replicas} replicas serve {MODEL} behind one address. Asked over gRPC Predict, how alike are these?",
        "",
    ]
    lines += [
        f"  {similarity:6.3f}  {SENTENCES[0]!r} and {sentence!r}"
        for sentence, similarity in zip(SENTENCES[1:], vectors[1:] @ vectors[0], strict=True)
    ]
    ids, mask = tokens(SENTENCES[:1])
    body = json.dumps({"inputs": {"input_ids": ids.tolist(), "attention_mask": mask.tolist()}})
    lines += ["", f"gRPC   {address}", f"REST   {rest_at}/v1/models/{MODEL}", "", "The first sentence over REST:", ""]
    lines += [f"  curl {rest_at}/v1/models/{MODEL}:predict -d '{body}'", "", "Try next, in this folder:", ""]
    width = max(len(command) for command, _ in NEXT)
    lines += [f"  .venv/bin/roadstead -f configs/quickstart.yaml {command:<{width}}  {what}" for command, what in NEXT]
    return "\n".join([*lines, "", "make stop  ends it."])


def main() -> int:
    """Embed the sentences through the address that standard input names, and print what to do next."""
    told_where = json.load(sys.stdin)
    addresses = [f"{one['host']}:{one['port']}" for one in told_where["addresses"] if one["model"] == MODEL]
    replicas = sum(one["model"] == MODEL for one in told_where["endpoints"])
    if not addresses or not replicas:
        print(f"nothing serves {MODEL}: `roadstead why {MODEL}` says why", file=sys.stderr)
        return 1
    address = addresses[0]
    try:
        vectors = embed(address, SENTENCES, model=MODEL, timeout=30)
    except grpc.RpcError as error:
        print(f"no embedding from {address}: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    print(told(address, replicas, vectors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
