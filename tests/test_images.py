"""Images: a folder of files goes into a Keras model, and what Keras' own loader gives comes out."""

from __future__ import annotations

import functools
import re

import keras
import numpy as np
import pandas as pd
import pictures
import pytest
from keras import layers
from PIL import Image
from pyspark.sql import functions as F
from twins import assert_same_history, eagerly, value

import nbkeras
from nbkeras.errors import DataError, NbkerasError, OptionError

pytestmark = pytest.mark.usefixtures("any_backend")

#: Images by class; capital letters stand before small ones.
CLASSES = {"Rose": 7, "lily": 8, "none yet": 0, "tulip 1": 6}
SIZE = (16, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a folder for each class, one of which is empty, with images of several sizes."""
    root = tmp_path_factory.mktemp("flowers [a]")
    for name, number in CLASSES.items():
        (root / name / "more").mkdir(parents=True)
        for index in range(number):
            below = "more/" if index == 2 else ""
            end = "PNG" if index % 2 else "png"
            (root / name / f"{below}{index} b%20.{end}").write_bytes(pictures.png(15 + index, 30 - index))
    (root / "Rose" / "notes.txt").write_text("no image")
    (root / ".git").mkdir()
    (root / "read.me").write_text("no image")
    return root


@pytest.fixture(scope="module")
def flowers(spark, folder):
    """The images of the folder, with fractions, in the order of Keras."""
    return nbkeras.images(folder, dtype="float32", spark=spark).orderBy("label", "path").coalesce(1)


def made(*, units=4, turned=False):
    """A convolution, behind a layer that turns images at random if wanted; always with the same weights."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3), name="picture"),
            layers.Rescaling(1 / 127.5, offset=-1),
            *([layers.RandomFlip(seed=3)] if turned else []),
            layers.Conv2D(3, 3, activation="tanh"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(units, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def loaded(folder, **options):
    """What Keras' own loader gives."""
    how = {"image_size": SIZE, "batch_size": 8, "shuffle": False, "verbose": False, **options}
    return keras.utils.image_dataset_from_directory(folder, **how)


@functools.cache
def of_keras(folder, *, turned):
    """What plain Keras makes of the folder: model, history, evaluation and prediction."""
    model, batches = eagerly(made(turned=turned)), loaded(folder)
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0)
    return model, history.history, model.evaluate(batches, verbose=0), model.predict(batches, verbose=0)


@pytest.mark.parametrize(
    ("backend", "workers"),
    [
        ("tensorflow", 1),
        pytest.param("torch", 2, marks=pytest.mark.smoke("connect")),
        pytest.param("jax", 2, marks=pytest.mark.soak),
        pytest.param("tensorflow", 2, marks=pytest.mark.soak),
        pytest.param("torch", 1, marks=pytest.mark.soak),
        pytest.param("jax", 1, marks=pytest.mark.soak),
    ],
)
def test_a_folder_of_images_gives_what_keras_own_loader_gives(spark, folder, flowers, backend, workers):
    # Each backend turns other images by the same seed.
    turned = backend == keras.config.backend()
    theirs, history, measured, outputs = of_keras(folder, turned=turned)
    model = made(turned=turned)
    options = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}

    run = nbkeras.fit(model, flowers, "label", workers=workers, backend=backend, spark=spark, **options)

    assert_same_history(run.history, history)
    for one, other in zip(model.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(value(one), value(other), 1e-5, 1e-5, err_msg=one.path)
    assert run.notes == []
    if backend == "tensorflow":
        evaluated = nbkeras.evaluate(model, flowers, "label", backend=backend, spark=spark)
        np.testing.assert_allclose([evaluated["loss"], evaluated["accuracy"]], measured, 1e-5)
        found = nbkeras.predict(model, flowers, classes=True, backend=backend, spark=spark)
        predicted = found.drop("image").toPandas()
        np.testing.assert_allclose(np.stack(predicted["prediction"]), outputs, 1e-5, 1e-6)
        names = sorted(CLASSES)
        assert predicted["prediction_class"].tolist() == [names[one] for one in outputs.argmax(axis=1)]
        assert predicted.columns[:2].tolist() == ["path", "label"]


def test_classes_are_the_folders_in_keras_order_however_many_images_they_hold(folder, spark, capsys):
    df = nbkeras.images(folder, spark=spark)
    assert capsys.readouterr().out == "Found 21 files belonging to 4 classes.\n"
    counts = {row["label"]: row["count"] for row in df.groupBy("label").count().collect()}
    assert counts == {name: number for name, number in CLASSES.items() if number}
    assert df.schema["label"].metadata["nbkeras"]["classes"] == loaded(folder).class_names

    chosen = nbkeras.images(folder, class_names=["tulip 1", "Rose"], spark=spark)
    assert {row["label"] for row in chosen.select("label").collect()} == {"tulip 1", "Rose"}
    assert chosen.schema["label"].metadata["nbkeras"]["classes"] == ["tulip 1", "Rose"]
    assert nbkeras.images(folder / "Rose", labels=None, spark=spark).columns == ["path", "image"]


@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({"crop_to_aspect_ratio": True}, {"crop_to_aspect_ratio": True}),
        ({"pad_to_aspect_ratio": True, "interpolation": "nearest"},) * 2,
        ({"color_mode": "grayscale"},) * 2,
    ],
    ids=["cropped", "padded", "grey"],
)
def test_images_are_read_with_the_options_of_the_column_wherever_they_come_from(
    spark, folder, flowers, options, theirs
):
    channels = 1 if "color_mode" in options else 3
    mean = keras.Sequential([keras.Input((*SIZE, channels)), layers.Flatten()])
    named = nbkeras.images(flowers, dtype="float32", **options, spark=spark)

    found = nbkeras.predict(mean, named.drop("label"), spark=spark).toPandas()

    expected = np.concatenate([x.numpy().reshape(len(x), -1) for x, _ in loaded(folder, **theirs)])
    np.testing.assert_array_equal(np.stack(found["prediction"]), expected)


def test_columns_of_files_of_paths_and_of_sparks_image_source_hold_the_same_images(spark, folder, flowers):
    flat = keras.Sequential([keras.Input((*SIZE, 3)), layers.Flatten()])
    pandas = flowers.limit(3).select("image").toPandas()
    source = spark.read.format("image").option("recursiveFileLookup", True).load(spelled(folder / "lily"))
    source = source.filter("image.height > 0").orderBy("image.origin")
    lilies = flowers.filter("label = 'lily'")

    expected = np.stack(nbkeras.predict(flat, lilies, spark=spark).toPandas()["prediction"])
    by_path = nbkeras.predict(flat, lilies.select("path"), spark=spark).toPandas()
    by_source = nbkeras.predict(flat, source, spark=spark).toPandas()
    bytes_ = nbkeras.predict(flat, spark.createDataFrame(pandas), spark=spark).toPandas()

    # Unmarked columns keep pixels in whole numbers.
    for found in (by_path, by_source):
        np.testing.assert_array_equal(np.stack(found["prediction"]), np.rint(expected))
    first = np.stack(nbkeras.predict(flat, flowers.limit(3), spark=spark).toPandas()["prediction"])
    np.testing.assert_array_equal(np.stack(bytes_["prediction"]), np.rint(first))


def spelled(path):
    """A path that Spark takes for no pattern."""
    return str(path).replace("[", "\\[").replace("]", "\\]")


@pytest.fixture
def damaged(folder, tmp_path):
    """Some images, and files among them that are none."""
    for name in ("Rose", "lily"):
        (tmp_path / name).mkdir()
        for file in sorted((folder / name).glob("*.[pP]*"))[:4]:
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "Rose" / "x.jpg").write_text("words")
    (tmp_path / "lily" / "y.png").write_bytes(pictures.png()[:200])
    return tmp_path


def test_files_that_are_no_images_are_counted_and_named(spark, damaged, flowers):
    df, model = nbkeras.images(damaged, spark=spark), made()
    words = r"column 'image'{} holds 2 images that cannot be read, \S*Rose/x.jpg \(this is no image file "
    words += r"that Pillow knows\), \S*lily/y.png \(.*\): replace them, or leave .*invalid='skip'\)$"

    with pytest.raises(DataError, match=words.format("")):
        nbkeras.fit(model, df, "label", workers=2, verbose=0, spark=spark)
    with pytest.raises(DataError, match=words.format(" of the validation rows")):
        nbkeras.fit(model, flowers, "label", validation_data=df, workers=1, verbose=0, spark=spark)
    with pytest.raises(DataError, match=words.format("")):
        nbkeras.evaluate(model, df, "label", spark=spark)
    with pytest.raises(Exception, match=re.compile(r"holds \d images? that cannot be read", re.DOTALL)):
        nbkeras.predict(model, df, spark=spark).collect()


def test_files_that_are_no_images_can_be_left_out(spark, damaged, capsys):
    df, model, twin = nbkeras.images(damaged, invalid="skip", spark=spark), made(units=2), made(units=2)
    good = df.filter("path not like '%x.jpg' and path not like '%y.png'")

    run = nbkeras.fit(model, df, "label", validation_data=df, workers=2, verbose=0, seed=1, spark=spark)

    left_out = [one for one in run.notes if "left out" in one]
    assert len(left_out) == 2
    assert left_out[0].startswith("column 'image' holds 2 images that cannot be read")
    assert left_out[1].startswith("column 'image' of the validation rows holds 2 images")
    same = nbkeras.fit(twin, good, "label", validation_data=good, workers=2, verbose=0, seed=1, spark=spark)
    assert_same_history(run.history, same.history)
    evaluated = nbkeras.evaluate(model, df, "label", spark=spark)
    assert evaluated == pytest.approx(nbkeras.evaluate(model, good, "label", spark=spark))
    assert "Column 'image' holds 2 images that cannot be read" in capsys.readouterr().out
    predicted = nbkeras.predict(model, df, classes=True, spark=spark).drop("image").toPandas()
    empty = predicted["path"].str.endswith(("x.jpg", "y.png"))
    assert predicted["prediction"].isna().equals(empty)
    assert predicted["prediction_class"].isna().equals(empty)
    none = nbkeras.predict(model, df.filter("path like '%x.jpg'"), spark=spark).collect()
    assert [row["prediction"] for row in none] == [None]


def test_files_that_spark_does_not_give_are_named(spark, damaged, capsys):
    (damaged / "Rose" / "_hidden.png").write_bytes(pictures.png())
    (damaged / "lily" / ".cache").mkdir()
    (damaged / "lily" / ".cache" / "a.png").write_bytes(pictures.png())
    (damaged / "lily" / "empty.PNG").write_bytes(b"")

    with pytest.raises(DataError, match=r"holds 1 empty file: lily/empty.PNG; remove"):
        nbkeras.images(damaged, spark=spark)
    df = nbkeras.images(damaged, invalid="skip", spark=spark)

    said = capsys.readouterr().out
    assert "Left out 2 files with a name that Spark hides: Rose/_hidden.png, lily/.cache/a.png." in said
    assert "holds 1 empty file: lily/empty.PNG; left out." in said
    assert df.count() == 10


@pytest.fixture(scope="module")
def trained(spark, folder, any_backend):
    model = made()
    df = nbkeras.images(folder, crop_to_aspect_ratio=True, spark=spark)
    nbkeras.fit(model, df, "label", epochs=2, workers=1, verbose=0, spark=spark)
    return model


def test_images_are_predicted_as_they_were_trained_on(spark, folder, trained):
    lilies = spark.read.format("binaryFile").load(
        f"{folder}/lily/*.png".replace("[", "\\[").replace("]", "\\]")
    )
    found = nbkeras.predict(trained, lilies.withColumnRenamed("content", "image"), spark=spark).toPandas()

    x = next(iter(loaded(folder, crop_to_aspect_ratio=True, batch_size=None, class_names=["lily"])))[0]
    first = found.sort_values("path")["prediction"].iloc[0]
    expected = trained.predict(np.rint(x)[None], verbose=0)[0]
    np.testing.assert_allclose(first, expected, 1e-5, 1e-6)


def test_one_image_is_predicted_and_shown_with_its_classes(spark, folder, trained, tmp_path):
    file = folder / "lily" / "0 b%20.png"
    row = nbkeras.images(folder, spark=spark).filter(F.col("path").endswith("lily/0 b%20.png"))
    expected = nbkeras.predict(trained, row, spark=spark).first()["prediction"]

    for given in (str(file), file, file.read_bytes(), Image.open(file), keras.utils.load_img(file)):
        found = nbkeras.predict(trained, given)
        np.testing.assert_allclose(found.outputs, expected, 1e-5, 1e-6)
    assert [name for name, _ in found.top] == [sorted(CLASSES)[one] for one in np.argsort(-found.outputs)]
    assert repr(found).startswith(f"{found.top[0][0]} 0.")
    html = found._repr_html_()
    assert html.count("<tr>") == len(CLASSES)
    assert 'src="data:image/png;base64,' in html
    with nbkeras.on_spark(spark=spark):
        assert trained.predict(keras.utils.load_img(file), classes=["<b>", "x", "y", "z"]).top
    assert "<b>" not in nbkeras.predict(trained, file, classes=["<b>", "x", "y", "z"])._repr_html_()
    for wrong, words in (
        (lambda: nbkeras.predict(trained, tmp_path / "none.png"), "none.png' cannot be read as an image"),
        (lambda: nbkeras.predict(trained, b"words" * 99), "^the data cannot be read as an image: this is no"),
        (lambda: nbkeras.predict(trained, folder), r"is a folder: give nbkeras.images\("),
        (lambda: nbkeras.fit(trained, folder, "label"), r"nbkeras.images\(…\) reads a folder"),
        (lambda: nbkeras.predict(trained, file, classes=["a"]), r"there are 1 classes, and no .* \(4,\)"),
        (lambda: nbkeras.predict(trained, file, features=["a"]), "names columns of a DataFrame"),
        (lambda: nbkeras.predict(dense(), "a.csv"), "the data is one image, and the model takes"),
    ):
        with pytest.raises(NbkerasError, match=words):
            wrong()


def test_a_model_remembers_in_its_file_how_it_takes_images(trained, folder, tmp_path):
    nbkeras.save_model(trained, tmp_path / "flowers.keras")
    again = nbkeras.load_model(tmp_path / "flowers.keras")

    file = folder / "lily" / "0 b%20.png"
    assert nbkeras.predict(again, file).top == nbkeras.predict(trained, file).top


def dense():
    return keras.Sequential([keras.Input((3,)), layers.Dense(1)])


def test_a_model_of_images_and_of_words_trains_on_both(spark, folder):
    df = nbkeras.images(folder, spark=spark).withColumn("word", F.substring("label", 1, 2))
    df = df.withColumn("y", F.length("label").cast("float")).withColumnRenamed("image", "photo")
    photo, word = keras.Input((*SIZE, 3), name="photo"), keras.Input((1,), dtype="string", name="word")
    codes = layers.StringLookup(vocabulary=["Ro", "li"], output_mode="multi_hot")(word)
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(photo)), codes])
    model = keras.Model([photo, word], layers.Dense(1)(both))
    model.compile(keras.optimizers.SGD(0.001), "mse")
    first = [value(one) for one in model.weights]

    run = nbkeras.fit(model, df, "y", workers=1, batch_size=21, shuffle=False, verbose=0, spark=spark)

    rows = df.select("path", "word", "y").toPandas()
    # Flipping nothing: the loss of the first step is that of the weights before it.
    x = {row["path"]: np.rint(_loaded_one(row["path"])) for _, row in rows.iterrows()}
    known = np.array([[word not in ("Ro", "li"), word == "Ro", word == "li"] for word in rows["word"]])
    kernel, bias = first[-2:]
    means = np.stack([x[path] for path in rows["path"]]).mean(axis=(1, 2)) / 255
    expected = np.mean(((np.concatenate([means, known], 1) @ kernel + bias)[:, 0] - rows["y"]) ** 2)
    assert run.history["loss"][0] == pytest.approx(expected, rel=1e-4)


def _loaded_one(path):
    import tensorflow as tf

    data = tf.io.read_file(path.removeprefix("file:"))
    return tf.image.resize(tf.image.decode_image(data, channels=3, expand_animations=False), SIZE).numpy()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interpolation": "bicubic"}, "interpolation='bicubic': use 'bilinear', 'nearest'"),
        ({"dtype": "float16"}, "dtype='float16': use 'uint8', 'float32'"),
        ({"invalid": "drop"}, "invalid='drop': use 'error', 'skip'"),
        ({"color_mode": "bgr"}, "color_mode='bgr': use None, 'grayscale'"),
        ({"image_size": (3,)}, "image_size=(3,): use (height, width)"),
        ({"image_size": 0}, "image_size=0: use (height, width)"),
        ({"labels": [1, 2]}, "labels=[1, 2]: use 'inferred'"),
        ({"class_names": ["tulip"]}, "class_names has 'tulip', and "),
        ({"class_names": "abc"}, "class_names='abc': use a list of names of folders, each once"),
        ({"class_names": ["lily", "lily"]}, "each once"),
        ({"class_names": ["lily"], "labels": None}, "needs labels='inferred'"),
        ({"antialias": "yes"}, "antialias='yes': use True, False"),
        ({"image_size": True}, "image_size=True: use (height, width)"),
        ({"column": "image"}, "column='image' is of a DataFrame"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "both True: use one"),
        ({"antialias": True, "interpolation": "nearest"}, "antialias=True is of interpolation='bilinear'"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(spark, folder, options, words):
    with pytest.raises(OptionError, match=re.escape(words)) as raised:
        nbkeras.images(folder, spark=spark, **options)
    assert "\n" not in str(raised.value)


def sized(*shape):
    return keras.Sequential([keras.Input(shape), layers.GlobalAveragePooling2D(), layers.Dense(4)])


def unbuilt():
    return keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(4)])


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (unbuilt, {}, "takes images of any size, and column 'image' holds some: say which"),
        (functools.partial(sized, None, None, 3), {}, "takes images of any size"),
        (functools.partial(sized, 9, 9, 3), {"image_size": 8}, "is marked with image_size=(8, 8): leave out"),
        (functools.partial(sized, 9, 9, 3), {"color_mode": "rgba"}, "takes images of 3 channels, and column"),
        (
            functools.partial(sized, 9, 9, 2),
            {},
            "images of 2 channels: column 'image' gives 1 (grey), 3 (RGB)",
        ),
        (
            dense,
            {},
            "column 'image' is binary: a model takes files of images by keras.Input((height, width, 3))",
        ),
    ],
    ids=["unbuilt", "open", "another size", "other channels", "two channels", "no image"],
)
def test_images_that_a_model_does_not_take_are_refused_in_one_line(spark, folder, model, options, words):
    compiled = model()
    compiled.compile("sgd", "sparse_categorical_crossentropy")
    df = nbkeras.images(folder, spark=spark, **options).select("image", "label")
    with pytest.raises(DataError, match=re.escape(words)) as raised:
        nbkeras.fit(compiled, df, "label", verbose=0, spark=spark)
    assert "\n" not in str(raised.value)


def test_a_model_that_does_not_say_what_it_takes_takes_the_size_of_the_column(spark, folder):
    model = unbuilt()
    model.compile("sgd", "sparse_categorical_crossentropy")
    df = nbkeras.images(folder, image_size=8, color_mode="grayscale", spark=spark)
    nbkeras.fit(model, df, "label", workers=1, verbose=0, spark=spark)
    assert model.input_shape == (None, 8, 8, 1)


def test_a_folder_that_only_spark_can_look_into_has_the_classes_of_its_files(spark, tmp_path, monkeypatch):
    def refused(*_):
        raise OptionError("nobody knows how to open it here")

    for name in ("b/deep", "a", "empty"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("b/deep/1.png", "a/2.png", "lost.png"):
        (tmp_path / name).write_bytes(pictures.png())
    monkeypatch.setattr("nbkeras.data.filesystems.opened", refused)

    df = nbkeras.images(tmp_path, spark=spark)

    assert df.schema["label"].metadata["nbkeras"]["classes"] == ["a", "b"]
    assert {row["label"] for row in df.select("label").collect()} == {"a", "b"}


def test_what_is_no_folder_of_images_is_refused_in_one_line(spark, folder, tmp_path):
    table = spark.createDataFrame(pd.DataFrame({"a": [1.0], "b": ["x"]}))
    for wrong, words in (
        (lambda: nbkeras.images(tmp_path / "none", spark=spark), r"Spark cannot read '.*none' \("),
        (lambda: nbkeras.images(tmp_path, spark=spark), "holds no folders, which would be the classes"),
        (lambda: nbkeras.images(tmp_path, labels=None, spark=spark), "holds no images: files must end in"),
        (lambda: nbkeras.images(table, spark=spark), "has 0 columns of images"),
        (lambda: nbkeras.images(table, "a", spark=spark), "column 'a' is double: name one that holds files"),
        (lambda: nbkeras.images(table, "c", spark=spark), "column 'c' is not in the DataFrame"),
    ):
        with pytest.raises(DataError, match=words):
            wrong()


def options_of(run):
    (one,) = run.schema.features
    return one.sources, one.image


def test_a_marked_column_goes_before_one_of_files_and_an_array_before_words(spark, folder):
    files = spark.read.format("binaryFile").load(f"{spelled(folder)}/lily/*.png").select("path", "content")
    raw = files.withColumn("y", F.length("content").cast("float"))
    both = nbkeras.images(raw, "path", interpolation="nearest", spark=spark)
    flat = keras.Sequential([keras.Input((*SIZE, 3)), layers.GlobalAveragePooling2D(), layers.Dense(1)])
    flat.compile("sgd", "mse")
    run = nbkeras.fit(flat, both, "y", workers=1, verbose=0, spark=spark)
    sources, image = options_of(run)
    assert (sources, image.interpolation) == (("path",), "nearest")

    zeros = raw.select(
        "path", "y", F.array_repeat(F.array_repeat(F.array_repeat(F.lit(0.0), 3), 20), 16).alias("x")
    )
    with pytest.raises(DataError, match="column 'path' is string, and the model takes numbers there"):
        nbkeras.fit(flat, zeros, "y", verbose=0, spark=spark)
    two = raw.withColumn("second", F.col("content"))
    with pytest.raises(DataError, match=r"2 columns may hold its images \('content', 'second'\)"):
        nbkeras.fit(flat, two, "y", verbose=0, spark=spark)


def test_what_is_evaluated_and_predicted_is_read_as_in_the_training_or_refused(spark, folder, trained):
    plain = nbkeras.images(folder, spark=spark)
    files = plain.withColumnRenamed("image", "content")
    expected = nbkeras.predict(trained, plain, spark=spark).first()["prediction"]

    assert (
        nbkeras.predict(trained, files, features=["content"], spark=spark).first()["prediction"] == expected
    )
    measured = nbkeras.evaluate(trained, files, "label", features=["content"], spark=spark)
    assert measured == pytest.approx(nbkeras.evaluate(trained, plain, "label", spark=spark))
    other = nbkeras.images(folder, pad_to_aspect_ratio=True, spark=spark)
    for call in (
        lambda: nbkeras.predict(trained, other, spark=spark),
        lambda: nbkeras.evaluate(trained, other, "label", spark=spark),
        lambda: nbkeras.fit(trained, plain, "label", validation_data=other, verbose=0, spark=spark),
    ):
        with pytest.raises(
            DataError, match="is marked to be read with aspect='pad', and the model was trained"
        ):
            call()


def test_what_is_proposed_for_a_table_with_images_trains(spark, folder):
    df = nbkeras.images(folder, spark=spark).withColumn("age", F.length("image").cast("float")).drop("path")
    found = nbkeras.features(df, "label", spark=spark)
    model = keras.Model(found.inputs, layers.Dense(4, activation="softmax")(found.features))
    model.compile("sgd", "sparse_categorical_crossentropy")

    nbkeras.fit(model, df.limit(4), "label", workers=1, verbose=0, spark=spark)

    assert found.table["proposed"][0] == "image of 180 x 180: two convolutions, averaged"


def test_images_beside_other_columns_leave_their_gaps_to_these(spark, folder):
    df = nbkeras.images(folder, spark=spark).withColumn(
        "age", F.when(F.rand(1) > 0.4, F.rand(2)).cast("float")
    )
    photo, age = keras.Input((*SIZE, 3), name="image"), keras.Input((1,), name="age")
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(photo), age])
    model = keras.Model([photo, age], layers.Dense(4, activation="softmax")(both))
    model.compile("sgd", "sparse_categorical_crossentropy")

    run = nbkeras.fit(model, df, "label", nulls="mean", workers=1, verbose=0, spark=spark)

    assert any("of 'age' by its mean" in one for one in run.notes)
    with pytest.raises(DataError, match="nulls names 'image', a column of images"):
        nbkeras.fit(model, df, "label", nulls={"image": 0}, verbose=0, spark=spark)


def test_rows_that_are_looked_at_first_may_be_broken(spark, damaged):
    (damaged / "Rose" / "0.png").write_bytes(
        pictures.saved(Image.fromarray(pictures.pixels(90, 90)), "PNG")[:-900]
    )
    df = nbkeras.images(damaged, invalid="skip", image_size=8, spark=spark).orderBy(F.col("path").desc())
    worst = df.orderBy(~F.col("path").rlike("x.jpg|y.png|Rose/0.png"))
    model = unbuilt()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])

    nbkeras.fit(model, worst, "label", workers=1, verbose=0, spark=spark)

    assert model.input_shape == (None, 8, 8, 3)
    only = nbkeras.images(damaged, invalid="skip", spark=spark).filter("path like '%x.jpg'")
    with pytest.raises(DataError, match="their rows are left out, and none is left to train on"):
        nbkeras.fit(made(units=2), only, "label", workers=1, verbose=0, spark=spark)
    with pytest.raises(DataError, match="none of the first 100 images of the DataFrame can be read"):
        nbkeras.fit(
            _compiled(unbuilt()),
            nbkeras.images(only, image_size=8, invalid="skip", spark=spark),
            "label",
            verbose=0,
        )


def _compiled(model):
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.soak
def test_pandas_columns_of_files_and_names_with_dots_are_taken_too(spark, folder, trained):
    df = nbkeras.images(folder, crop_to_aspect_ratio=True, spark=spark).orderBy("path").limit(3)
    expected = np.stack(nbkeras.predict(trained, df, spark=spark).toPandas()["prediction"])

    frame = df.drop("label").toPandas()
    found = nbkeras.predict(trained, frame, spark=spark)
    np.testing.assert_allclose(np.stack(found["prediction"]), expected, 1e-5, 1e-6)
    dotted = nbkeras.images(df.withColumnRenamed("image", "my.image"), "my.image", spark=spark)
    found = nbkeras.predict(trained, dotted, features=["my.image"], spark=spark).toPandas()
    np.testing.assert_allclose(np.stack(found["prediction"]), expected, 1e-5, 1e-6)
    joined = df.join(df.select(F.col("path"), F.lit(1).alias("more")), df["path"] == df["path"])
    assert joined.columns.count("path") == 2
    nbkeras.fit(made(), joined.select(df["image"], "label"), "label", workers=1, verbose=0, spark=spark)


def test_numbers_that_are_no_probabilities_are_shown_as_they_are(folder):
    boxes = keras.Sequential([keras.Input((None, None, 3)), layers.GlobalAveragePooling2D(), layers.Dense(4)])
    file = folder / "lily" / "0 b%20.png"
    found = nbkeras.predict(boxes, file)
    assert found.top == ()
    assert repr(found) == str(found.outputs.tolist())
    assert "<pre>" in found._repr_html_()
    # A model of images of any size takes one as it is.
    exact = boxes.predict(keras.utils.img_to_array(Image.open(file))[None], verbose=0)[0]
    np.testing.assert_allclose(found.outputs, exact, 1e-5)
