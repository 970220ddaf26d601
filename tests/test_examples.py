"""Public examples of Keras give with nbkeras what Keras gives, or a note or an error says what differs."""

from __future__ import annotations

import importlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import keras
import numpy as np
import pytest

import nbkeras
from nbkeras.errors import NbkerasError

#: What Keras, scikit-learn and PyTorch say of the examples themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:CUDA initialization"),
    pytest.mark.filterwarnings("ignore:The structure of"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    pytest.mark.filterwarnings("ignore:.*was passed, but will be ignored"),
]
_OF_OTHERS = ("Your input ran out of data", "CUDA initialization")
#: Beginnings of the lines that evaluate and predict print.
_LINES = (
    "evaluate runs in",
    "predict runs in",
    "Evaluating on one",
    "Predicting in the notebook",
)


@dataclass(frozen=True)
class Outcome:
    """What is expected of an example.

    Attributes:
        kind: "same", "named" or "refused".
        words: of each note that must be there, or of the error; no other note may be there.
        equal: whether the numbers are those of Keras.
    """

    kind: str
    words: tuple[str, ...] = ()
    equal: bool = True

    def __str__(self):
        said = f": {'; '.join(self.words)}" if self.words else ""
        return f"{self.kind}{', same numbers' if self.kind == 'named' and self.equal else ''}{said}"


def near(*words):
    """The numbers differ, and notes say why."""
    return Outcome("named", words, equal=False)


def noted(*words):
    """The numbers are the same, and notes say what else differs, such as where it runs."""
    return Outcome("named", words)


def refused(words):
    return Outcome("refused", (words,))


@dataclass(frozen=True)
class Example:
    """A function of a module in ``examples``, and what is expected of it with one and with two workers."""

    where: str
    fed: str
    one: Outcome
    two: Outcome
    tolerance: float = 1e-6

    @property
    def function(self):
        module, name = self.where.split(".")
        return getattr(importlib.import_module(f"examples.{module}"), name)


SAME = Outcome("same")
ARRAYS, DATASET, INDEXED, LOADER, GENERATOR = "arrays", "tf.data", "PyDataset", "DataLoader", "a generator"
NORMAL, STEP, OWN_TEST = "BatchNormalization", "has its own train_step", "has its own test_step"
OWN_NUMBERS, WEIGHTS = (
    "draws random numbers of its own",
    "a callback changed the model's weights in the notebook",
)
CALLED = noted("evaluate runs in")
READ = noted("this notebook reads x", "this notebook reads validation_data")
CALLS_PYTHON = noted("it calls a Python function or a generator of this notebook")
UNLIKE_PARTS = refused("the parts of a batch have 12, 4, 4 rows")
ALL_FILES = "each worker reads all files of the dataset"

EXAMPLES = [
    Example("images.pictures_in_folders", DATASET, SAME, near(NORMAL, ALL_FILES)),
    Example("images.convolutions_on_digits", ARRAYS, SAME, SAME),
    Example("images.transfer_and_fine_tuning", DATASET, SAME, near(NORMAL)),
    Example("images.segmentation", INDEXED, SAME, SAME),
    Example("images.denoising", ARRAYS, SAME, SAME),
    Example("images.mixing_pictures", DATASET, SAME, SAME),
    Example("images.vision_transformer", ARRAYS, SAME, SAME, 2e-5),
    Example("text.reviews_in_folders", DATASET, SAME, noted(ALL_FILES)),
    Example("text.transformer_for_sentiment", ARRAYS, SAME, SAME),
    Example("text.bidirectional_lstm", ARRAYS, SAME, SAME),
    Example("text.one_character_after_another", ARRAYS, SAME, SAME),
    Example("text.translation", DATASET, SAME, SAME),
    Example("text.named_entities", DATASET, SAME, refused("the loss loss_of_words of 4 rows is")),
    Example("text.word_vectors", DATASET, SAME, SAME),
    Example("text.miniature_gpt", DATASET, SAME, SAME),
    Example("text.hidden_words", DATASET, SAME, noted(STEP)),
    Example("series.weather", DATASET, SAME, SAME),
    Example("series.quick_and_slow", ARRAYS, SAME, near(NORMAL)),
    Example("series.anomalies", ARRAYS, SAME, SAME),
    Example("series.several_steps_ahead", DATASET, SAME, SAME),
    Example("series.sunspots", DATASET, SAME, SAME),
    Example("series.traffic", DATASET, SAME, SAME),
    Example("series.stateful_lstm", ARRAYS, SAME, refused("keeps its state from batch to batch")),
    Example("recommenders.collaborative_filtering", ARRAYS, SAME, near("depends on the other rows")),
    Example("recommenders.retrieval", DATASET, SAME, SAME),
    Example("recommenders.ranking_by_names", DATASET, SAME, SAME),
    Example("recommenders.two_towers", DATASET, SAME, refused("the loss TwoTowers.compute_loss of 4 rows")),
    Example("recommenders.patients_by_feature_space", DATASET, SAME, SAME),
    Example("recommenders.wide_and_deep", DATASET, SAME, SAME),
    Example("recommenders.rare_frauds", ARRAYS, SAME, SAME),
    Example("generative.variational_autoencoder", ARRAYS, SAME, near(STEP, OWN_NUMBERS)),
    Example("generative.adversaries", DATASET, SAME, near(STEP, OWN_NUMBERS)),
    Example("generative.denoising_diffusion", DATASET, SAME, near(STEP, OWN_NUMBERS)),
    Example("generative.vector_quantized", ARRAYS, SAME, SAME),
    Example("metric_learning.anchors_and_positives", INDEXED, SAME, refused("slice index 1 of dimension 0")),
    Example("metric_learning.siamese_pairs", ARRAYS, SAME, near(NORMAL)),
    Example("metric_learning.triplets", DATASET, SAME, near(STEP, ALL_FILES)),
    Example(
        "metric_learning.supervised_contrast", ARRAYS, SAME, refused("the loss supervised_contrast of 4")
    ),
    Example("metric_learning.semi_supervised", DATASET, SAME, UNLIKE_PARTS),
    Example("custom_steps.own_steps", ARRAYS, noted(OWN_TEST), noted(STEP, OWN_TEST)),
    Example("custom_steps.distillation", DATASET, SAME, SAME),
    Example("custom_steps.endpoint_layer", DATASET, SAME, SAME),
    Example("custom_steps.sharpness_aware", DATASET, SAME, near(STEP)),
    Example("custom_steps.citation_graph", ARRAYS, SAME, SAME),
    Example("custom_steps.data_loader", LOADER, SAME, SAME),
    Example("custom_steps.python_generator", GENERATOR, READ, READ),
    Example("custom_steps.volumes", DATASET, CALLS_PYTHON, CALLS_PYTHON),
    Example("callbacks.own_early_stopping", ARRAYS, near(WEIGHTS), near(WEIGHTS)),
    Example("callbacks.losses_and_rates", ARRAYS, SAME, SAME),
    Example("callbacks.losses_of_an_evaluation", ARRAYS, CALLED, CALLED),
    Example("callbacks.scores_of_scikit_learn", DATASET, SAME, SAME),
    Example("callbacks.one_cycle", DATASET, SAME, SAME),
    Example("callbacks.regularized_with_many_callbacks", DATASET, SAME, SAME),
    Example("callbacks.four_folds", ARRAYS, SAME, SAME),
    Example("callbacks.cross_validation_by_scikit_learn", ARRAYS, SAME, SAME),
    Example("callbacks.saved_and_restored", ARRAYS, SAME, SAME),
]
#: A cheap one that covers most: it runs in every run.
CHEAP = ("recommenders.retrieval",)


@pytest.fixture(scope="module", autouse=True)
def _as_in_a_notebook():
    """Workers cannot import the examples, as they cannot import a notebook."""
    modules = {one.function.__module__ for one in EXAMPLES}
    for name in modules:
        cloudpickle.register_pickle_by_value(importlib.import_module(name))
    yield
    for name in modules:
        cloudpickle.unregister_pickle_by_value(importlib.import_module(name))


@pytest.fixture(scope="module")
def table(request):
    """Rows of a table in Markdown, printed in the end."""
    rows = ["| example | kind | fed by | 1 worker | 2 workers |", "|---|---|---|---|---|"]
    yield rows
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *rows, sep="\n")  # noqa: T201  # it is what a reader of the run looks for


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(one, id=one.where, marks=[] if one.where in CHEAP else pytest.mark.soak)
        for one in EXAMPLES
    ],
)
def test_an_example_trains_as_in_keras_or_it_is_said(spark, table, capsys, monkeypatch, example):
    right = run(example, monkeypatch)
    found = []
    for workers, expected in ((1, example.one), (2, example.two)):
        runs = len(nbkeras.runs)
        capsys.readouterr()
        with nbkeras.on_spark(workers=workers, spark=spark):
            if expected.kind == "refused":
                with pytest.raises(NbkerasError, match=rf"^.*{re.escape(expected.words[0])}.*$"):
                    run(example, monkeypatch)
            else:
                ours = run(example, monkeypatch)
                notes = [note for one in list(nbkeras.runs)[runs:] for note in one.notes]
                assert_said(expected, notes + printed(capsys.readouterr().out))
                different = differences(right, ours, example.tolerance)
                assert (not different) == expected.equal, different
        found.append(str(expected))
    module, name = example.where.split(".")
    table.append(f"| {name} | {module} | {example.fed} | {' | '.join(found)} |")


def run(example, monkeypatch):
    """The numbers of an example, in a folder of its own."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()  # noqa: PTH109  # a folder for monkeypatch
        monkeypatch.chdir(folder)
        try:
            return example.function(Path(folder))
        finally:
            monkeypatch.chdir(before)


def printed(out):
    """The lines of evaluate, predict and fit; Keras may have begun a progress bar before one."""
    found = []
    for line in out.splitlines():
        starts = [line.find(one) for one in _LINES if one in line]
        found += [line[min(starts) :]] if starts else []
    return found


def assert_said(expected, said):
    """Each of the words stands in what is said, and nothing else is said."""
    said = [one for one in said if not any(other in one for other in _OF_OTHERS)]
    words = expected.words if expected.kind == "named" else ()
    assert all(any(word in one for one in said) for word in words), said
    assert all(any(word in one for word in words) for one in said), said


def differences(right, ours, tolerance):
    """What differs by more than float noise, and by how much."""
    assert ours.keys() == right.keys()
    found = {}
    for name, values in right.items():
        one, other = np.asarray(values, dtype=float), np.asarray(ours[name], dtype=float)
        assert one.shape == other.shape, name
        assert np.isfinite(other).all(), name
        if not np.allclose(other, one, 1e-5, tolerance):
            found[name] = float(np.max(np.abs(one - other)))
    return found


def test_every_function_of_the_examples_is_expected_something_of():
    folder = Path(__file__).parent / "examples"
    there = {
        f"{path.stem}.{name}"
        for path in folder.glob("*.py")
        for name, one in vars(importlib.import_module(f"examples.{path.stem}")).items()
        if getattr(one, "__code__", None) is not None
        and one.__module__ == f"examples.{path.stem}"
        and one.__code__.co_varnames[: one.__code__.co_argcount] == ("folder",)
    }
    assert there == {one.where for one in EXAMPLES}
