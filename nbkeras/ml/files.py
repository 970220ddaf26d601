"""Files: stages of a pipeline with their Keras model, written and read by Spark, at any place that it knows.

The model is Keras' own archive with nbkeras' columns in it, in the rows of a Parquet file: a row for each
piece of its bytes. Only what Keras reads in its safe mode is read.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyspark
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import SparkSession

from nbkeras.driver import checks, model_files
from nbkeras.errors import NbkerasError, OptionError, one_line
from nbkeras.spark.session import is_connect

#: Bytes of a row.
_PIECE = 8 << 20
#: In the metadata beside Spark's own, and the folder beside these.
_KEY, _FOLDER, _FILE = "nbkeras", "model", "model.keras"


class Writer(MLWriter):
    """Writes a stage.

    Args:
        instance: with a method ``content``.
    """

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self._instance = instance

    def saveImpl(self, path: str) -> None:
        """Write metadata and model; see Spark ML."""
        about, model = self._instance.content()
        about = {**about, "model": model is not None}
        where: Any = _metadata_by(self)
        DefaultParamsWriter.saveMetadata(self._instance, path, where, extraMetadata={_KEY: about})
        if model is None:
            return
        data = _dumped(model)
        rows = [(start // _PIECE, data[start : start + _PIECE]) for start in range(0, len(data), _PIECE)]
        df = self.sparkSession.createDataFrame(rows, "piece int, content binary")
        df.coalesce(1).write.parquet(_folder(path))

    def _handleOverwrite(self, path: str) -> None:
        if not is_connect(self.sparkSession):
            super()._handleOverwrite(path)
            return
        from pyspark.ml.connect.readwrite import RemoteMLWriter

        RemoteMLWriter.handleOverwrite(path, shouldOverwrite=True)


class Reader(MLReader[Any]):
    """Reads a stage.

    Args:
        kind: its class, with a method ``restored``.
    """

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._kind = kind

    def load(self, path: str) -> Any:
        """Read what :class:`Writer` has written.

        Raises:
            OptionError: it is another class, or its Keras model cannot be read.
        """
        where: Any = _metadata_by(self)
        metadata = DefaultParamsReader.loadMetadata(path, where)
        kind = f"{self._kind.__module__}.{self._kind.__name__}"
        if metadata["class"] != kind or _KEY not in metadata:
            found = metadata["class"].rpartition(".")[2]
            raise OptionError(f"{path} holds a {found}, no {self._kind.__name__}: use {found}.load(…)")
        about = metadata[_KEY]
        model = _loaded(self.sparkSession, path) if about["model"] else None
        made = self._kind.restored(about, model)
        made._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(made, metadata)
        return made


class Saved(MLReadable[Any], MLWritable):
    """A stage that is saved with its Keras model: ``content`` and ``restored`` say what that is."""

    def write(self) -> Writer:
        """A writer of this stage and its model."""
        return Writer(self)

    @classmethod
    def read(cls) -> Reader:
        """A reader of what :meth:`write` has written."""
        return Reader(cls)


def _metadata_by(access: Writer | Reader) -> Any:
    """What Spark writes and reads metadata by: 3.5 takes the context, later ones the session."""
    return access.sc if pyspark.__version__.startswith("3.") else access.sparkSession


def _folder(path: str) -> str:
    return f"{path.rstrip('/')}/{_FOLDER}"


def _dumped(model: Any) -> bytes:
    checks.wait_for_training(model)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built and model.built:
        # One that was saved without a state is read with a warning.
        optimizer.build(model.trainable_variables)
    with tempfile.TemporaryDirectory(prefix="nbkeras-") as folder:
        file = Path(folder) / _FILE
        model_files.save(model, file)
        return file.read_bytes()


def _loaded(spark: SparkSession, path: str) -> Any:
    rows = spark.read.parquet(_folder(path)).collect()
    pieces = [bytes(row["content"]) for row in sorted(rows, key=lambda row: row["piece"])]
    with tempfile.TemporaryDirectory(prefix="nbkeras-") as folder:
        file = Path(folder) / _FILE
        file.write_bytes(b"".join(pieces))
        try:
            return model_files.load(file, safe_mode=True)
        except NbkerasError:
            raise
        except Exception as error:
            raise OptionError(
                f"the Keras model in {path} cannot be read ({one_line(_first(error))}): import first what "
                "defines its layers and losses, decorated with @keras.saving.register_keras_serializable()"
            ) from error


def _first(error: BaseException) -> BaseException:
    """What began: Keras says around it what it was reading, at length."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error
