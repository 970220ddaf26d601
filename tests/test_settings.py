"""What was chosen for a training, as it is shown in a table and kept in a file."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from nbkeras.model import settings


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.float32(0.1), 0.1),
        (np.int64(3), 3),
        (float("nan"), "nan"),
        ({"a": [len, None]}, {"a": ["len", None]}),
        (keras.losses.Huber(0.5), "Huber(delta=0.5)"),
    ],
)
def test_a_value_is_described_by_what_json_knows(value, shown):
    assert settings.described(value) == shown


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["mse", "mae"], ["MeanSquaredError", "MeanAbsoluteError"], True),
        ({"a": "mse"}, {"a": "mae"}, False),
        ("my_own", "my_own", True),
        (None, "mse", False),
    ],
)
def test_losses_of_several_outputs_are_compared_one_by_one(one, other, same):
    assert settings.same_loss(one, other) is same


def test_an_optimizer_of_the_users_own_is_named_and_has_no_known_arguments():
    class Mine(keras.optimizers.SGD):
        def get_config(self):
            raise NotImplementedError

    assert settings.arguments(Mine()) == settings.arguments(None) == []
