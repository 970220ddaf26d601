"""Parts of a task: its data, model, Spark and results. The words below a field are its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from nbkeras.data import filesystems
from nbkeras.plan import LEAST_HEARTBEAT
from nbkeras.tasks.part import FilePath, Function, Part, Short, or_number, or_word, text
from nbkeras.tasks.places import Wrong

#: By the end of a file's name, the format in which Spark reads and writes it.
FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".orc": "orc",
}
#: Ends of names behind which that of the format stands.
_PACKED = (".gz", ".bz2", ".zst", ".snappy")
#: What a report is saved as.
REPORTS = (".html", ".json", ".png", ".txt", ".csv")

Counted = Annotated[int, Field(ge=1)]


def format_of(path: str) -> str | None:
    """Return the format that a path ends with, None if it says none.

    Example:
        >>> format_of("rows.csv.gz"), format_of("s3://lake/rows.parquet/"), format_of("rows")
        ('csv', 'parquet', None)
    """
    name = path.rstrip("/").lower()
    for end in _PACKED:
        name = name.removesuffix(end)
    return FORMATS.get(Path(name).suffix)


def _only(part: Any, names: tuple[str, ...], wanted: str) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        got = (
            f"got {' and '.join(given)}" if given else f"{', '.join(names[:-1])} and {names[-1]} are missing"
        )
        raise ValueError(f"{got}: write one, such as {wanted}")


def _require_format(path: str | None, named: str | None) -> None:
    if path is not None and named is None and format_of(path) is None:
        raise ValueError(
            f"the name of {Path(path).name!r} says no format: write format: parquet, csv, json or another"
        )


class Rows(Short):
    """Rows: files, a table or a query. A path may stand for it."""

    path: FilePath | None = Field(default=None, examples=["train.parquet"])
    """A file or folder, relative to this file; or a URI that Spark reads."""
    format: str | None = Field(default=None, examples=["parquet", "csv", "json", "orc", "delta", "images"])
    """How Spark reads the path, if the end of its name does not say it; images for a folder with a folder for
    each class."""
    options: dict[str, str | int | float | bool] = Field(default={}, examples=[{"sep": ";"}])
    """For Spark's reader, or of nbkeras.images. A csv has a header and its types are inferred, unless said
    here."""
    types: str | None = Field(default=None, examples=["length double, width double, kind string"])
    """Names and types of the columns to read, in any order where the file names them; without it, those of
    csv and json are inferred by reading all rows."""
    table: str | None = Field(default=None, examples=["lake.flowers"])
    """A table of Spark's catalogue."""
    sql: str | None = Field(default=None, examples=["SELECT * FROM lake.flowers WHERE year < 2026"])
    """A query."""

    @model_validator(mode="after")
    def _one_source(self) -> Rows:
        _only(self, self._sources(), "path: rows.parquet")
        if self.path is None and (self.format is not None or self.types is not None or self.options):
            raise ValueError("format, types and options are of a path: remove them")
        _require_format(self.path, self.format)
        return self

    @staticmethod
    def _sources() -> tuple[str, ...]:
        return "path", "table", "sql"


class Validation(Rows):
    """Rows to validate on: as those to train on, or a fraction of these."""

    model_config = ConfigDict(json_schema_extra=or_number)

    fraction: float | None = Field(default=None, gt=0, lt=1, examples=[0.2])
    """The part of the rows to train on that is held back, chosen by the hash of each row."""

    @classmethod
    def widened(cls, value: Any) -> Any:
        """See :class:`Part`."""
        return {"fraction": value} if isinstance(value, (int, float)) else super().widened(value)

    @staticmethod
    def _sources() -> tuple[str, ...]:
        return "path", "table", "sql", "fraction"


class Data(Part):
    """What is trained, validated and reported on."""

    training: Rows = Field(examples=["train.parquet"])
    """Rows to train on."""
    validation: Validation | None = None
    """Rows to validate on after each epoch, or a fraction of the rows to train on."""
    test: Rows | None = None
    """Rows that the report is about."""
    predict: Rows | None = None
    """Rows to predict; without it, those of the test."""
    y: str | list[str] | dict[str, str | list[str]] | None = Field(default=None, examples=["kind"])
    """The label column; of several outputs a list in their order, or columns by the outputs' names."""
    features: str | list[str] | None = Field(default=None, examples=[["length", "width"]])
    """The feature columns; without it, all that are not label or weight."""
    sample_weight: str | list[str] | dict[str, str] | None = Field(default=None, examples=["weight"])
    """The column of the rows' weights."""
    nulls: str | dict[str, str | int | float] = Field(default="error", examples=["mean", {"age": "mean"}])
    """What fills missing values: error refuses them, mean fills numbers by their mean; or mean, a number or a
    word by column."""


class Model(Part):
    """A compiled Keras model. A .keras file or a function may stand for it, as a word; or its code."""

    model_config = ConfigDict(json_schema_extra=or_word)

    file: FilePath | None = Field(default=None, examples=["start.keras"])
    """A .keras file with a compiled model, whose weights training goes on from."""
    function: Function | None = Field(default=None, examples=["model.py:build", "package.module:build"])
    """A function that returns a compiled model, of a Python file or of a module."""
    code: str | None = None
    """Python code that assigns a compiled model, such as the builder's, without its call of fit."""
    arguments: dict[str, Any] = Field(default={}, examples=[{"units": 64}])
    """Of the function, by name."""

    @classmethod
    def widened(cls, value: Any) -> Any:
        """See :class:`Part`."""
        value = text(value)
        if not isinstance(value, str):
            return value
        if "\n" in value.strip():
            return {"code": value}
        return {"file" if value.endswith(".keras") else "function": value}

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        _only(self, ("file", "function", "code"), "function: model.py:build")
        if self.arguments and self.function is None:
            raise Wrong("arguments", "they are of a function: remove them, or write function: model.py:build")
        if self.function is not None and not all(self.function.rpartition(":")):
            raise Wrong(
                "function",
                f"got {self.function!r}: write a .keras file, or file.py:function or module:function",
            )
        return self


class Spark(Part):
    """Where and how the training runs."""

    master: str | None = Field(
        default=None, examples=["local[*]", "spark://host:7077", "yarn", "sc://host:15002"]
    )
    """The Spark to use, where none is active; without it, this machine."""
    config: dict[str, str | int | float | bool] = Field(
        default={}, examples=[{"spark.executor.memory": "8g"}]
    )
    """Settings of the session."""
    workers: Counted | Literal["auto"] = "auto"
    """Trainers that share the work; auto is 1 on one machine, and one for each executor of a cluster."""
    gpus: Counted | None = None
    """GPUs of each worker; without it, those that Spark gives each task."""
    backend: Literal["auto", "tensorflow", "torch", "jax"] = "auto"
    """What Keras computes with on the workers; auto is what it does here."""
    sync_every: Counted = 1
    """Steps that workers take alone before their weights become their mean; 1 sums gradients in each step."""
    heartbeat: float = Field(default=60.0, ge=LEAST_HEARTBEAT)
    """Seconds of silence after which a worker counts as lost."""
    trusted_network: bool = False
    """Allow several workers though Spark encrypts its network: what they send each other is not encrypted."""


class Predictions(Short):
    """Where predictions go. A path may stand for it."""

    path: FilePath | None = Field(default=None, examples=["predictions.parquet"])
    """A folder, relative to this file; or a URI that Spark writes to."""
    table: str | None = Field(default=None, examples=["lake.predictions"])
    """A table of Spark's catalogue."""
    format: str | None = Field(default=None, examples=["parquet", "csv", "json", "orc", "delta"])
    """How Spark writes, if the end of the path's name does not say it."""
    mode: Literal["error", "overwrite", "append"] | None = None
    """What happens to what is there; without it, as the mode of all results."""
    options: dict[str, str | int | float | bool] = Field(default={})
    """For Spark's writer. A csv has a header, unless said here."""
    classes: bool = False
    """Add the likeliest class and its probability, of labels that are words."""

    @model_validator(mode="after")
    def _one_place(self) -> Predictions:
        _only(self, ("path", "table"), "path: predictions.parquet")
        _require_format(self.path, self.format)
        return self


class ReportFile(Short):
    """What is reported of the test rows, and where to. A path may stand for it."""

    path: FilePath | None = Field(default=None, examples=["report.html"])
    """A file .html, .json, .png, .txt or .csv; or a folder, which gets each of them."""
    by: str | None = None
    """A column: all figures for each of its values too."""
    worst: int = Field(default=0, ge=0)
    """Rows that are predicted worst, to keep with all their columns."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Probability above which a single output, or one of several labels, says yes."""
    output: str | None = None
    """The output to report on, of a model with several."""
    kind: Literal["classification", "labels", "regression"] | None = None
    """Without it, the model's loss decides."""

    @model_validator(mode="after")
    def _known_suffix(self) -> ReportFile:
        if self.path is not None and Path(self.path).suffix not in ("", *REPORTS):
            raise ValueError(
                f"a report is saved as {', '.join(REPORTS[:-1])} or {REPORTS[-1]}, or into a folder; "
                f"got {Path(self.path).name!r}"
            )
        return self


class Out(Part):
    """What is written, and where."""

    model: FilePath | None = Field(default=None, examples=["flowers.keras"])
    """The trained model, a .keras file."""
    predictions: Predictions | None = None
    """The predictions of the rows to predict."""
    report: ReportFile | None = None
    """The report on the test rows."""
    result: FilePath | None = Field(default=None, examples=["result.json"])
    """What the run has come to, as JSON; each run replaces it."""
    mode: Literal["error", "overwrite"] = "error"
    """What happens to a model, predictions or a report that are there: an error, before anything is trained,
    or they are replaced."""

    @model_validator(mode="after")
    def _known_suffix(self) -> Out:
        if self.model is not None and not self.model.endswith(".keras"):
            raise Wrong(
                "model", f"got {Path(self.model).name!r}: name it ….keras, which holds all of a model"
            )
        if self.result is not None and filesystems.is_uri(self.result):
            raise Wrong("result", f"got {self.result}: name a file on this machine")
        return self
