"""One way to train the task, in a process of its own: ``contestant.py NAME FOLDER EPOCHS WORKERS``."""

from __future__ import annotations

import json
import sys
import time

import task


def main() -> None:
    name, folder, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    x, y = task.read(folder)
    train = {"plain": plain, "elephas": elephas}.get(name, ours)
    spark = None if train is plain else task.spark()
    df = None if spark is None else spark.read.parquet(folder)
    for _ in range(2):
        train(task.model(), spark, df, x, y, 1)  # warm
    model = task.model()
    start = time.perf_counter()
    train(model, spark, df, x, y, epochs)
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x, y, batch_size=1024, verbose=0)
    print("MEASURED", json.dumps({"seconds": seconds, "loss": loss, "accuracy": accuracy}), flush=True)
    if spark is not None:
        spark.stop()


def plain(model, spark, df, x, y, epochs) -> None:
    model.fit(x, y, batch_size=task.BATCH, epochs=epochs, shuffle=False, verbose=0)


def ours(model, spark, df, x, y, epochs) -> None:
    import nbkeras

    workers = int(sys.argv[4])
    options = {"batch_size": task.BATCH, "epochs": epochs, "workers": workers, "verbose": 0}
    nbkeras.fit(model, df, "label", shuffle=False, **options)


def elephas(model, spark, df, x, y, epochs) -> None:
    from elephas.spark_model import SparkModel
    from elephas.utils.rdd_utils import to_simple_rdd

    rdd = to_simple_rdd(spark.sparkContext, x, y)
    trained = SparkModel(model, mode="synchronous", num_workers=2, batch_size=task.BATCH // 2)
    trained.fit(rdd, epochs=epochs, batch_size=task.BATCH // 2, verbose=0, validation_split=0.0)
    model.set_weights(trained.master_network.get_weights())


if __name__ == "__main__":
    main()
