"""Pixels: what workers make of image files is what TensorFlow makes of them for Keras, to the pixel."""

from __future__ import annotations

import numpy as np
import pictures
import pytest
import tensorflow as tf
from keras.src.backend import tensorflow as backend
from keras.src.utils import image_utils
from PIL import Image

from nbkeras.data.images import reading
from nbkeras.data.images.decoding import Unreadable, decoded, of_spark
from nbkeras.data.images.resizing import resized
from nbkeras.schema import Field, ImageOptions

FILES = pictures.files()
#: What TensorFlow reads in another way than is right: it forgets the opacity of PNG files without any.
_ODD = {("png of bits", 4), ("png of a palette", 4)}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", FILES)
def test_files_are_decoded_as_tensorflow_decodes_them(name, channels):
    ours = decoded(FILES[name], channels).astype(int)
    try:
        theirs = tf.image.decode_image(FILES[name], channels=channels, expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError:
        # TensorFlow has no such number of channels for this kind of file.
        assert ours.shape[2] == channels
        return
    assert ours.shape == theirs.shape
    if (name, channels) in _ODD:
        assert (ours[..., 3] == 255).all()
        ours, theirs = ours[..., :3], theirs[..., :3]
    # Two decoders of JPEG round differently; greys of 16 bits are rounded before they become grey.
    apart = (
        12 if "inks" in name else 6 if "jpeg" in name else 1 if "of 16 bits" in name and channels == 1 else 0
    )
    assert abs(ours - theirs).max() <= apart


@pytest.mark.parametrize("name", pictures.broken())
def test_a_broken_file_is_named_by_what_is_wrong_with_it(name):
    content, reason = pictures.broken()[name]
    with pytest.raises(Unreadable, match=reason) as raised:
        decoded(content, 3)
    assert "\n" not in str(raised.value)
    assert " at 0x" not in str(raised.value)


def keras_size(pixels, height, width, interpolation, aspect):
    """What Keras' loader makes of an image whose size it does not know before."""
    if aspect == "stretch":
        return tf.image.resize(pixels, (height, width), method=interpolation)
    if aspect == "pad":
        return tf.image.resize_with_pad(pixels, height, width, method=interpolation)

    @tf.function(input_signature=[tf.TensorSpec((None, None, pixels.shape[2]), tf.uint8)], autograph=False)
    def cropped(image):
        return image_utils.smart_resize(
            image,
            (height, width),
            interpolation=interpolation,
            data_format="channels_last",
            backend_module=backend,
        )

    return cropped(pixels)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(("aspect", "times"), [("stretch", 120), ("pad", 60), ("crop", 15)])
def test_images_are_resized_as_keras_resizes_them_to_the_last_bit(interpolation, aspect, times):
    random = np.random.default_rng(times)
    options = ImageOptions(interpolation=interpolation, aspect=aspect)
    for _ in range(times):
        rows, columns, height, width = (int(one) for one in random.integers(1, 90, 4))
        pixels = random.integers(0, 256, (rows, columns, int(random.choice([1, 3, 4])))).astype("uint8")
        try:
            theirs = keras_size(pixels, height, width, interpolation, aspect)
        except tf.errors.InvalidArgumentError:
            continue  # an image so thin that nothing is left of it
        ours = resized(pixels, height, width, options)
        np.testing.assert_array_equal(ours, theirs, f"{pixels.shape} to {height} x {width}")


def test_a_smaller_image_of_all_pixels_is_pillows():
    pixels = pictures.pixels(90, 120)

    ours = resized(pixels, 20, 30, ImageOptions(antialias=True))

    theirs = Image.fromarray(pixels).resize((30, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    assert abs(ours - resized(pixels, 20, 30, ImageOptions())).max() > 1


def field(shape=(8, 9, 3), taken="float32", **options):
    return Field("x0", ("image",), "an image", taken, shape, "images", image=ImageOptions(**options))


def test_pixels_are_kept_rounded_or_as_they_are_or_in_the_whole_numbers_of_the_model():
    file = FILES["png"]
    exact = tf.image.resize(decoded(file, 3), (8, 9)).numpy()

    for how, kept, expected in (
        ({}, "uint8", np.rint(exact)),
        ({"dtype": "float32"}, "float32", exact),
        ({"dtype": "float32", "channels_first": True}, "float32", exact.transpose(2, 0, 1)),
    ):
        one = field((3, 8, 9) if "channels_first" in how else (8, 9, 3), **how)
        found = reading.numbers(file, one)
        assert (found.dtype.name, reading.kept_type(one)) == (kept, kept)
        np.testing.assert_array_equal(found, expected)
    # Keras cuts off what a model of whole numbers does not take.
    whole = reading.numbers(file, field(taken="uint8"))
    np.testing.assert_array_equal(whole, exact.astype("uint8"))


def test_a_file_is_found_by_its_path_as_spark_writes_it_and_by_its_uri(tmp_path):
    file = tmp_path / "a b%20c.png"
    file.write_bytes(FILES["png"])
    first = reading.numbers(str(file), field())

    assert (reading.numbers(f"file:{file}", field()) == first).all()
    with pytest.raises(Unreadable, match="No such file"):
        reading.numbers(str(tmp_path / "none.png"), field())
    with pytest.raises(Unreadable, match="nor can fsspec"):
        reading.numbers("nosuch://place/none.png", field())


@pytest.mark.parametrize(("mode", "channels"), [(0, 1), (16, 3), (24, 4)])
def test_sparks_image_source_has_blue_first(mode, channels):
    pixels = pictures.pixels(channels=channels)
    data = pixels[..., [2, 1, 0, 3][:channels]].tobytes() if channels > 1 else pixels.tobytes()
    row = {"height": 19, "width": 30, "mode": mode, "data": data}

    np.testing.assert_array_equal(of_spark(row, channels), pixels)
    with pytest.raises(Unreadable, match="could not read it"):
        of_spark({**row, "height": -1, "mode": -1}, channels)
