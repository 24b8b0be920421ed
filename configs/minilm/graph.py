"""The graph of all-MiniLM-L6-v2: a BERT encoder, mean pooling and L2 normalisation, written out without Keras."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tensorflow as tf

from configs.minilm.weights import HEADS, HIDDEN, LAYER_NORM_EPSILON, LAYERS, SEP, Weights, weights_of

Parameters = Mapping[str, tf.Variable]

TOKENS: Final = tf.TensorSpec([None, None], tf.int32)


def write_saved_model(path: Path, version: int) -> None:
    """Build the graph on the weights of a version and save it to ``path``, a folder that does not exist yet."""
    encoder = Encoder(weights_of(version))
    tf.saved_model.save(encoder, str(path), signatures=encoder.embed)


class Encoder(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """The weights as variables, and ``embed`` as the function to serve."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        # A list, because a dictionary that TensorFlow tracks may have no dots in its keys. The pooler is another
        # head's.
        named = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
        self.names = tuple(named)
        self.variables_in_order = [tf.Variable(value, trainable=False) for value in named.values()]

    @tf.function(input_signature=[TOKENS, TOKENS])  # type: ignore[untyped-decorator]
    def embed(self, input_ids: tf.Tensor, attention_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the embedding of each row of tokens."""
        get: Parameters = dict(zip(self.names, self.variables_in_order, strict=True))
        mask = sentence_mask(input_ids, attention_mask)
        hidden = embeddings(get, input_ids)
        for layer in range(LAYERS):
            hidden = transformer_layer(get, f"encoder.layer.{layer}.", hidden, mask)
        total = tf.reduce_sum(hidden * mask[:, :, tf.newaxis], axis=1)
        mean = total / tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1e-9)
        return {"embedding": tf.math.l2_normalize(mean, axis=1, epsilon=1e-24)}


def sentence_mask(input_ids: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
    """Return 1.0 at each token that counts: the mask allows it, and no [SEP] stands before it."""
    ended_before = tf.cumsum(tf.cast(tf.equal(input_ids, SEP), tf.int32), axis=1, exclusive=True)
    allowed = tf.not_equal(attention_mask, 0)
    return tf.cast(tf.logical_and(allowed, tf.equal(ended_before, 0)), tf.float32)


def embeddings(get: Parameters, input_ids: tf.Tensor) -> tf.Tensor:
    """Return the sum of word, position and (first) type embedding, normalised: [batch, sequence, hidden]."""
    words = tf.gather(get["embeddings.word_embeddings.weight"], input_ids)
    positions = tf.gather(get["embeddings.position_embeddings.weight"], tf.range(tf.shape(input_ids)[1]))
    summed = words + positions + get["embeddings.token_type_embeddings.weight"][0]
    return layer_norm(get, "embeddings.LayerNorm.", summed)


def transformer_layer(get: Parameters, prefix: str, hidden: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return one layer's output: attention, then the feed-forward network, each added to its input and normalised."""
    shape = tf.shape(hidden)
    flat = tf.reshape(hidden, [-1, HIDDEN])
    attended = dense(get, prefix + "attention.output.dense.", attention(get, prefix, flat, shape, mask))
    flat = layer_norm(get, prefix + "attention.output.LayerNorm.", attended + flat)
    wide = tf.nn.gelu(dense(get, prefix + "intermediate.dense.", flat), approximate=False)
    narrow = dense(get, prefix + "output.dense.", wide)
    return tf.reshape(layer_norm(get, prefix + "output.LayerNorm.", narrow + flat), shape)


def attention(get: Parameters, prefix: str, flat: tf.Tensor, shape: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return multi-head self-attention over [batch * sequence, hidden]; masked tokens get a weight of exactly zero."""

    def heads(name: str) -> tf.Tensor:
        projected = dense(get, f"{prefix}attention.self.{name}.", flat)
        return tf.transpose(tf.reshape(projected, [shape[0], shape[1], HEADS, HIDDEN // HEADS]), [0, 2, 1, 3])

    scores = tf.matmul(heads("query"), heads("key"), transpose_b=True) * (HIDDEN // HEADS) ** -0.5
    scores += (1.0 - mask[:, tf.newaxis, tf.newaxis, :]) * tf.float32.min
    mixed = tf.matmul(tf.nn.softmax(scores), heads("value"))
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, HIDDEN])


def dense(get: Parameters, prefix: str, value: tf.Tensor) -> tf.Tensor:
    """Return ``value @ weight.T + bias``, with the weight stored as torch does, [out, in]."""
    return tf.nn.bias_add(tf.matmul(value, get[prefix + "weight"], transpose_b=True), get[prefix + "bias"])


def layer_norm(get: Parameters, prefix: str, value: tf.Tensor) -> tf.Tensor:
    """Return ``value`` normalised over its last axis, scaled and shifted."""
    mean, variance = tf.nn.moments(value, axes=[-1], keepdims=True)
    return tf.nn.batch_normalization(
        value, mean, variance, get[prefix + "bias"], get[prefix + "weight"], LAYER_NORM_EPSILON
    )
