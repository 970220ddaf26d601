"""Images: decoding and resizing on one core against Pillow alone, and a folder against Keras' own loader.

Photos of 500 x 375 and of 1024 x 768 pixels, JPEG of quality 90, become 224 x 224.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import results
import sklearn.datasets
import task
from keras import layers
from PIL import Image

import nbkeras
from nbkeras.data.images import reading
from nbkeras.schema import Field, ImageOptions

SIZE = (224, 224)
FIELD = Field("x0", ("image",), "an image", "float32", (*SIZE, 3), "images", image=ImageOptions())


def photo(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(sklearn.datasets.load_sample_image("china.jpg")).resize((width, height)).save(
        file, "JPEG", quality=90
    )
    return file.getvalue()


def by_pillow(content: bytes) -> Any:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    return np.asarray(image.resize(SIZE, Image.Resampling.BILINEAR))


def ours(content: bytes) -> Any:
    return reading.numbers(content, FIELD)


def rate(read: Callable[[bytes], Any], content: bytes, number: int) -> float:
    """Images per CPU second, of one thread."""
    for _ in range(number):
        read(content)  # warm
    start = time.thread_time()
    for _ in range(number):
        read(content)
    return number / (time.thread_time() - start)


def decoding(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for width, height in ((500, 375), (1024, 768)):
        content = photo(width, height)
        pairs = [(rate(ours, content, 60), rate(by_pillow, content, 60)) for _ in range(rounds)]
        ratios = [one / other for one, other in pairs]
        rows.append(
            {
                "what": f"photos of {width} x {height} per CPU second, to Pillow alone",
                "median": round(statistics.median(ratios), 2),
                "from": round(min(ratios), 2),
                "to": round(max(ratios), 2),
                "ours": round(statistics.median(one for one, _ in pairs)),
            }
        )
    return rows


def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.AveragePooling2D(8),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


def trained_here(folder: Path) -> None:
    batches = keras.utils.image_dataset_from_directory(folder, image_size=SIZE, verbose=False)
    model().fit(batches, epochs=3, verbose=0)


def trained_by_us(folder: Path) -> None:
    nbkeras.fit(model(), nbkeras.images(folder, spark=task.spark()), "label", epochs=3, workers=1, verbose=0)


def seconds(work: Callable[[Path], None], folder: Path) -> float:
    start = time.perf_counter()
    work(folder)
    return time.perf_counter() - start


def training(rounds: int, number: int) -> list[dict[str, Any]]:
    content = photo(500, 375)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(number):
            (folder / f"class {index % 2}").mkdir(exist_ok=True)
            (folder / f"class {index % 2}" / f"{index}.jpg").write_bytes(content)
        for work in (trained_by_us, trained_here):
            work(folder)  # warm
        ratios = [seconds(trained_by_us, folder) / seconds(trained_here, folder) for _ in range(rounds)]
    return [
        {
            "what": f"{number:,} photos of 500 x 375 from a folder, three epochs, seconds to Keras' loader",
            "median": round(statistics.median(ratios), 2),
            "from": round(min(ratios), 2),
            "to": round(max(ratios), 2),
        }
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=2_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    rows = [*decoding(chosen.rounds), *training(chosen.rounds, chosen.images)]
    for row in rows:
        print(row)
    results.keep("images", rows)


if __name__ == "__main__":
    main()
