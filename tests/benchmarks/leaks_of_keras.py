"""What Keras itself leaves of each model that it builds and that nobody keeps: to hold leaks.py against."""

from __future__ import annotations

import gc

import keras
import results
from leaks import memory, net

WARM, MODELS = 50, 200


def main() -> None:
    first = 0.0
    for number in range(WARM + MODELS):
        if number == WARM:
            first = memory()
        model = net()
        model.optimizer.build(model.trainable_variables)
        del model
    last = memory()
    alive = sum(isinstance(one, keras.Model) for one in gc.get_objects())
    row = {"models": MODELS, "alive": alive, "notebook (MB), a model": round((last - first) / MODELS, 3)}
    print(row)
    results.keep("leaks_of_keras", [row])


if __name__ == "__main__":
    main()
