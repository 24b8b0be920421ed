"""The requests that a server runs before it counts a version as available: ``assets.extra/tf_serving_warmup_requests``.

TensorFlow prepares a graph at its first run, and more of it at the first run of another size; whoever asks first would
wait for that.
"""

from pathlib import Path
from typing import Final

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from configs.minilm.embed import SENTENCES, request

FILE: Final = "assets.extra/tf_serving_warmup_requests"
"""Where servers look for them, below a version's folder."""

BATCHES: Final = (SENTENCES[:1], SENTENCES, SENTENCES * 5)
"""What is asked: a sentence alone, a few, and about as many as a full batch has."""


def write_warmup(version: Path) -> None:
    """Write the requests into a version's folder."""
    path = version / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in BATCHES:
            log = prediction_log_pb2.PredictLog(request=request(batch, model="minilm"))
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
