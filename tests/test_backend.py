"""The backend of Keras: the one that is installed is taken, and a line says which, or what to install."""

import importlib.metadata
import json
import sys

import pytest

from nbkeras import backend, requirements
from nbkeras.errors import ClusterError


@pytest.fixture
def there(monkeypatch, tmp_path):
    """The backends that are installed, where nothing is chosen and Keras is not imported yet."""
    found = set()
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(requirements, "is_there", found.__contains__)
    return found


@pytest.mark.parametrize(
    ("installed", "usual", "chosen", "said"),
    [
        (["tensorflow", "torch", "jax"], None, "", ""),
        (["torch", "jax"], None, "torch", "Keras works with PyTorch here.\n"),
        (["jax"], "tensorflow", "jax", "Keras works with JAX here.\n"),
        (["tensorflow", "jax"], "jax", "jax", "Keras works with JAX here.\n"),
        (["jax"], "openvino", "", ""),
    ],
)
def test_without_a_choice_what_is_installed_is_taken_and_named(
    there, tmp_path, capsys, installed, usual, chosen, said
):
    there.update(installed)
    if usual is not None:  # Keras writes this file itself
        (tmp_path / "keras.json").write_text(json.dumps({"backend": usual}))
    backend.require()
    assert requirements.os.environ["KERAS_BACKEND"] == chosen
    assert capsys.readouterr().out == said


def test_without_any_backend_a_line_says_what_to_type(there, monkeypatch):
    with pytest.raises(
        ClusterError, match=r"^Keras has no backend here: pip install 'nbkeras\[tensorflow\]' \("
    ):
        backend.require()
    there.add("jax")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    said = r"^Keras is to work with torch, .* pip install 'nbkeras\[torch\]', or set KERAS_BACKEND=jax, and"
    with pytest.raises(ClusterError, match=said):
        backend.require()


def test_no_backend_is_forced_on_anybody():
    always = [one for one in importlib.metadata.requires("nbkeras") if "extra ==" not in one]
    assert not [one for one in always if one.startswith(tuple(requirements.BACKENDS))]
    assert {"tensorflow", "torch", "jax"} <= set(
        importlib.metadata.metadata("nbkeras").get_all("Provides-Extra")
    )
