"""Batches that Keras takes, on each backend, as they are iterated."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from keras.src.trainers.data_adapters import data_adapter_utils
from keras.src.trainers.data_adapters.data_adapter import DataAdapter


class Iterated(DataAdapter):  # type: ignore[misc]
    """Batches of arrays, one epoch each time they are iterated."""

    batch_size = has_partial_batch = partial_batch_size = None

    @property
    def num_batches(self) -> int | None:
        """Batches of an epoch; None where it is not known."""
        return None

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def first(self) -> list[Any]:
        """Return the first batches, by which TensorFlow learns types and shapes."""
        raise NotImplementedError

    def get_jax_iterator(self) -> Iterator[Any]:
        """The batches, as Keras asks for them on JAX."""
        return iter(self)

    def get_torch_dataloader(self) -> Any:
        """The batches, as Keras asks for them on torch."""
        return data_adapter_utils.get_torch_dataloader(self)

    def get_tf_dataset(self) -> Any:
        """The batches, as Keras asks for them on TensorFlow."""
        import tensorflow as tf

        made = tf.data.Dataset.from_generator(self.__iter__, output_signature=self._signature)
        return made.prefetch(tf.data.AUTOTUNE)

    @functools.cached_property
    def _signature(self) -> Any:
        # Once, as in Keras: a look at a source may move it.
        return data_adapter_utils.get_tensor_spec(self.first())
