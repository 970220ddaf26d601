"""Predicting with a model that is there: 30,000 rows of 784 floats from Parquet, on one core.

Each round has every contestant once: `nbkeras.predict`, `nbkeras.function`, what comes with Spark, MLflow
where it is installed, the rows through the model in this process without Spark, the rows read by Spark
without a model, and the rows handed to Python by Spark's quickest way, which computes nothing and gives
zeros back. The limit is what reading and the model take one after the other; no way through Python is quicker
than zeros. Rows are kept with their prediction.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import results
import task
from keras import layers
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

import nbkeras

ROWS, BATCH = 30_000, 1024


def models() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(1)
    small = [layers.Reshape((28, 28, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D()]
    small += [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    last = layers.Dense(10, activation="softmax")
    return {
        "784-128-10": task.model(),
        "small CNN": keras.Sequential([keras.Input((task.FEATURES,)), *small, last]),
    }


def compute(df: DataFrame) -> None:
    df.write.format("noop").mode("overwrite").save()


def of_spark(path: str) -> Any:
    """`predict_batch_udf`, as its documentation shows it."""

    def load() -> Callable[[Any], Any]:
        loaded = keras.models.load_model(path)
        return loaded.predict_on_batch

    shapes = [[task.FEATURES]]
    return predict_batch_udf(
        load, return_type=T.ArrayType(T.FloatType()), batch_size=BATCH, input_tensor_shapes=shapes
    )


def of_zeros() -> Any:
    """Spark's quickest function of Python, and nothing in it."""

    def zeros(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            values = pa.array(np.zeros(10 * len(batch), np.float32))
            yield pa.ListArray.from_arrays(pa.array(np.arange(len(batch) + 1, dtype=np.int32) * 10), values)

    return F.arrow_udf(zeros, T.ArrayType(T.FloatType()))


def of_mlflow(spark: SparkSession, model: keras.Model, x: Any, path: str) -> Any:
    import mlflow

    signature = mlflow.models.infer_signature(x[:2], model.predict(x[:2], verbose=0))
    mlflow.keras.save_model(model, path, signature=signature, pip_requirements=["keras"])
    return mlflow.pyfunc.spark_udf(spark, path, result_type="array<float>", env_manager="local")


def ways(
    spark: SparkSession, df: DataFrame, model: keras.Model, x: Any, folder: str
) -> dict[str, Callable[[], Any]]:
    file = str(Path(folder, "model.keras"))
    model.save(file)
    batches = [x[begin : begin + BATCH] for begin in range(0, len(x), BATCH)]
    udf, zeros, score = of_spark(file), of_zeros(), nbkeras.function(model, "score", spark=spark)
    # MLflow goes through the model in batches of 32 rows.
    found = {
        "nbkeras": lambda: compute(nbkeras.predict(model, df, features=["features"], spark=spark)),
        "nbkeras.function": lambda: compute(df.withColumn("prediction", score("features"))),
        "predict_batch_udf": lambda: compute(df.withColumn("prediction", udf("features"))),
        "zeros": lambda: compute(df.withColumn("prediction", zeros("features"))),
        "in process": lambda: [model.predict_on_batch(one) for one in batches],
        "scan": lambda: compute(df),
    }
    if importlib.util.find_spec("mlflow") is not None:
        other = of_mlflow(spark, model, x, str(Path(folder, "mlflow")))
        found["mlflow"] = lambda: compute(df.withColumn("prediction", other("features")))
    return found


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measured(
    name: str, first: dict[str, float], rounds: list[dict[str, float]], rows: int
) -> list[dict[str, Any]]:
    """Rows in a second, and ratios within a round."""
    for one in rounds:
        one["limit"] = one["in process"] + one["scan"]
    first["limit"] = first["in process"] + first["scan"]
    found = []
    for way in rounds[0]:
        ratios = [one[way] / one["nbkeras"] for one in rounds]
        found.append(
            {
                "what": f"{name}: {way}",
                "rows per second": f"{rows / statistics.median(one[way] for one in rounds):,.0f}",
                "the first time": f"{rows / first[way]:,.0f}",
                "nbkeras to this": round(statistics.median(ratios), 2),
                "from": round(min(ratios), 2),
                "to": round(max(ratios), 2),
            }
        )
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--unbound", action="store_true", help="let Java and Python use every core")
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    if not chosen.unbound:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    spark, found = task.spark("local[1]"), []
    with task.parquet(chosen.rows) as folder:
        x, _ = task.read(folder)
        df = spark.read.parquet(folder)
        compute(df)
        for name, model in models().items():
            with TemporaryDirectory() as files:
                contestants = ways(spark, df, model, x, files)
                first = {way: seconds(work) for way, work in contestants.items()}
                for work in contestants.values():
                    work()  # Java compiles what it does often
                # Another one begins each round: whoever follows a slow one finds the machine busy.
                orders = [
                    list(contestants)[turn:] + list(contestants)[:turn] for turn in range(chosen.rounds)
                ]
                rounds = [{way: seconds(contestants[way]) for way in order} for order in orders]
            made = measured(name, first, rounds, chosen.rows)
            for row in made:
                print(row, flush=True)
            found += made
    spark.stop()
    if chosen.rows == ROWS and not chosen.unbound:
        results.keep("predict", found)


if __name__ == "__main__":
    main()
