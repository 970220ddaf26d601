"""Tutorials on pictures."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from examples.made import digits, learned
from keras import layers


def pictures_in_folders(folder):
    """Image classification from scratch: files in a folder for each class, augmented, checkpoints.

    The kind of keras.io's first vision example, with a small net of separable convolutions.
    """
    images, labels = digits(80, classes=2)
    for label in "01":
        (folder / "pictures" / label).mkdir(parents=True)
    for at, (image, label) in enumerate(zip(images, labels, strict=True)):
        keras.utils.save_img(folder / "pictures" / str(label) / f"{at}.png", image * 255, scale=False)
    train, checked = keras.utils.image_dataset_from_directory(
        folder / "pictures",
        validation_split=0.2,
        subset="both",
        seed=13,
        image_size=(8, 8),
        batch_size=16,
        verbose=False,
    )
    augment = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
    train = train.map(lambda x, y: (augment(x, training=True), y)).prefetch(tf.data.AUTOTUNE)

    inputs = keras.Input((8, 8, 3))
    x = before = layers.Conv2D(4, 3, strides=2, padding="same")(layers.Rescaling(1 / 255)(inputs))
    x = layers.SeparableConv2D(4, 3, padding="same")(layers.Activation("relu")(x))
    x = layers.add([layers.BatchNormalization()(x), before])
    x = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(1)(x))
    model.compile(
        keras.optimizers.Adam(3e-4),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(name="acc")],
    )
    saving = keras.callbacks.ModelCheckpoint(folder / "save_at_{epoch}.keras")
    history = model.fit(train, epochs=2, callbacks=[saving], validation_data=checked)

    picture = keras.utils.img_to_array(keras.utils.load_img(folder / "pictures" / "0" / "0.png"))
    score = model.predict(keras.ops.expand_dims(picture, 0))
    saved = keras.models.load_model(folder / "save_at_2.keras")
    return learned(model, history, score=score, saved=saved.predict(picture[None]))


def convolutions_on_digits(folder):
    """A simple convnet on MNIST: arrays, one-hot labels, a split for validation, evaluation."""
    images, labels = digits(120)
    labels = keras.utils.to_categorical(labels, 10)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(
        images[:100], labels[:100], batch_size=32, epochs=2, validation_split=0.1, shuffle=False
    )
    return learned(model, history, score=model.evaluate(images[100:], labels[100:], verbose=0))


def transfer_and_fine_tuning(folder):
    """Transfer learning: a frozen base in inference mode gets a head, then all is tuned at a low rate."""
    images, labels = digits(64, classes=2)
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    train = data.take(48).cache().batch(16).prefetch(tf.data.AUTOTUNE)
    checked = data.skip(48).cache().batch(16)
    base = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    )

    base.trainable = False
    inputs = keras.Input((8, 8, 1))
    x = layers.Rescaling(scale=2.0, offset=-1)(inputs)
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    model = keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.2)(x)))
    how = {"loss": keras.losses.BinaryCrossentropy(from_logits=True), "metrics": ["binary_accuracy"]}
    model.compile(keras.optimizers.Adam(), **how)
    model.fit(train, epochs=2, validation_data=checked)
    frozen = model.evaluate(checked)

    base.trainable = True
    model.compile(keras.optimizers.Adam(1e-5), **how)
    history = model.fit(train, epochs=1, validation_data=checked)
    return learned(model, history, frozen=frozen, tuned=model.evaluate(checked))


class PicturesWithMasks(keras.utils.PyDataset):
    """Reads each batch from files."""

    def __init__(self, batch_size, inputs, targets, **how):
        super().__init__(**how)
        self.batch_size, self.inputs, self.targets = batch_size, inputs, targets

    def __len__(self):
        return len(self.targets) // self.batch_size

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return tuple(np.stack([np.load(one) for one in of[rows]]) for of in (self.inputs, self.targets))


def segmentation(folder):
    """Image segmentation by a U-Net: a PyDataset reads pictures and masks, a label for each pixel."""
    images, _ = digits(40)
    paths = [[folder / f"{kind}{at}.npy" for at in range(40)] for kind in ("picture", "mask")]
    for image, picture, mask in zip(images, *paths, strict=True):
        np.save(picture, image)
        np.save(mask, (image > 0.3).astype("uint8") + (image > 0.7))
    train = PicturesWithMasks(8, paths[0][:32], paths[1][:32])
    checked = PicturesWithMasks(4, paths[0][32:], paths[1][32:])

    inputs = keras.Input((8, 8, 1))
    x = before = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(layers.SeparableConv2D(8, 3, padding="same", activation="relu")(x))
    x = layers.UpSampling2D(2)(layers.Conv2DTranspose(4, 3, padding="same", activation="relu")(x))
    x = layers.UpSampling2D(2)(layers.concatenate([x, before]))
    model = keras.Model(inputs, layers.Conv2D(3, 3, activation="softmax", padding="same")(x))
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    best = keras.callbacks.ModelCheckpoint(folder / "segmentation.keras", save_best_only=True)
    history = model.fit(train, epochs=2, validation_data=checked, callbacks=[best], verbose=2, shuffle=False)
    return learned(model, history, masks=np.argmax(model.predict(checked), axis=-1))


def denoising(folder):
    """A convolutional autoencoder learns to copy digits, then to clean noisy ones."""
    images, _ = digits(64)
    noisy = np.clip(images + np.random.default_rng(0).normal(scale=0.4, size=images.shape), 0, 1)
    noisy = noisy.astype("float32")
    inputs = layers.Input((8, 8, 1))
    x = layers.MaxPooling2D((2, 2), padding="same")(
        layers.Conv2D(6, (3, 3), activation="relu", padding="same")(inputs)
    )
    x = layers.Conv2DTranspose(6, (3, 3), strides=2, activation="relu", padding="same")(x)
    model = keras.Model(inputs, layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x))
    model.compile(optimizer="adam", loss="binary_crossentropy")
    how = {"epochs": 1, "batch_size": 16, "shuffle": False}
    copied = model.fit(x=images[:48], y=images[:48], validation_data=(images[48:], images[48:]), **how)
    history = model.fit(x=noisy[:48], y=images[:48], validation_data=(noisy[48:], images[48:]), **how)
    return learned(model, history, copied=copied.history["loss"], cleaned=model.predict(noisy))


def mixing_pictures(folder):
    """MixUp: two shuffled datasets are zipped, and each pair is blended by a random share."""
    images, labels = digits(64)
    data = tf.data.Dataset.from_tensor_slices(
        (images, keras.utils.to_categorical(labels, 10).astype("float32"))
    )
    pairs = tf.data.Dataset.zip((data.shuffle(64).batch(16), data.shuffle(64).batch(16)))

    def blend(one, other):
        sample = tf.random.gamma([2, tf.shape(one[0])[0]], 0.2)
        share = sample[0] / (sample[0] + sample[1] + 1e-7)
        pictures = tf.reshape(share, (-1, 1, 1, 1))
        classes = tf.reshape(share, (-1, 1))
        return (
            one[0] * pictures + other[0] * (1 - pictures),
            one[1] * classes + other[1] * (1 - classes),
        )

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(10)]
    )
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(pairs.map(blend), validation_data=data.batch(16), epochs=2)
    return learned(model, history, score=model.evaluate(data.batch(16)))


class Patches(layers.Layer):
    """Cuts pictures into squares."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def call(self, images):
        patches = keras.ops.image.extract_patches(images, self.size)
        batch, rows, columns, channels = keras.ops.shape(patches)
        return keras.ops.reshape(patches, (batch, rows * columns, channels))


class PatchEncoder(layers.Layer):
    """Adds to each patch where it was."""

    def __init__(self, number, width):
        super().__init__()
        self.number = number
        self.project = layers.Dense(width)
        self.place = layers.Embedding(number, width)

    def call(self, patches):
        places = keras.ops.expand_dims(keras.ops.arange(0, self.number), 0)
        return self.project(patches) + self.place(places)


def vision_transformer(folder):
    """A vision transformer: layers of one's own cut and place patches, AdamW, the best weights are loaded."""
    images, labels = digits(96)
    inputs = keras.Input((8, 8, 1))
    x = PatchEncoder(16, 8)(Patches(2)(inputs))
    normal = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([layers.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.1)(normal, normal), x])
    x = layers.Dense(16, activation=keras.activations.gelu)(layers.LayerNormalization()(x))
    model = keras.Model(inputs, layers.Dense(10)(layers.Dropout(0.3)(layers.Flatten()(x))))
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=0.001, weight_decay=0.0001),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseTopKCategoricalAccuracy(5, name="top-5-accuracy"),
        ],
    )
    path = str(folder / "checkpoint.weights.h5")
    best = keras.callbacks.ModelCheckpoint(
        path, monitor="val_accuracy", save_best_only=True, save_weights_only=True
    )
    history = model.fit(
        x=images, y=labels, batch_size=32, epochs=2, validation_split=0.2, callbacks=[best], shuffle=False
    )
    model.load_weights(path)
    return learned(model, history, score=model.evaluate(images, labels, verbose=0))
