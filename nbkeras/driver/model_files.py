"""Model files: Keras' own, with the columns and classes of the training beside the model in them."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras

from nbkeras.errors import OptionError, one_line
from nbkeras.run import registry
from nbkeras.schema import Schema

#: The file in the archive; Keras reads the others.
_NAME = "nbkeras.json"


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Save a model, and what it was trained on; see :func:`nbkeras.save_model`.

    Raises:
        OptionError: the file is none of Keras' archives.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise OptionError(f"the file {path.name} is no archive that holds more than weights: name it ….keras")
    keras.models.Model.save(model, path)
    if (schema := registry.schema(model)) is not None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(_NAME, json.dumps(schema.described()))


def load(path: str | os.PathLike[str], **options: Any) -> Any:
    """Load a model, and what it was trained on; see :func:`nbkeras.load_model`.

    Raises:
        OptionError: what it was trained on cannot be read.
    """
    model = keras.models.load_model(path, **options)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if _NAME in archive.namelist():
                try:
                    schema = Schema.read(json.loads(archive.read(_NAME)))
                except Exception as error:
                    raise OptionError(
                        f"{_NAME} in {path} cannot be read ({one_line(error)}): use keras.models.load_model"
                    ) from error
                registry.remember(model, schema)
    return model
