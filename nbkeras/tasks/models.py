"""Models: the compiled Keras model that a task names, and its callbacks, made by the user's own code."""

from __future__ import annotations

import ast
import contextlib
import difflib
import inspect
import linecache
import pkgutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle

from nbkeras.data import filesystems
from nbkeras.errors import OptionError, one_line
from nbkeras.run import steering
from nbkeras.tasks.declared import Declared
from nbkeras.tasks.places import Place

#: The module that a task's own code is, which no worker can import.
_MODULE = "nbkeras_task"


def made(task: Declared) -> Any:
    """Make the model of a task, with its seed and its learning rate.

    Args:
        task: the task.

    Raises:
        TaskError: there is no such file or function, it gives no compiled model, or the learning rate does
            not fit the optimizer.
        Exception: the user's code raises it.
    """
    import keras

    if task.seed is not None:
        keras.utils.set_random_seed(task.seed)
    model, place = _model(task), ("model",)
    if not isinstance(model, keras.Model):
        raise task.places.fault(place, f"it gives a {type(model).__name__}: return a compiled keras.Model")
    if not model.compiled:
        raise task.places.fault(
            place, "the model is not compiled: call model.compile(optimizer, loss) where it is made"
        )
    if task.learning_rate is not None:
        try:
            model.optimizer.learning_rate = steering.learning_rate(task.learning_rate, model)
        except OptionError as error:
            raise task.places.fault(("learning_rate",), str(error)) from error
    return model


def callbacks(task: Declared) -> list[Any]:
    """Make the callbacks of a task.

    Raises:
        TaskError: Keras has no such callback, or it does not take these arguments.
    """
    import keras

    known = {
        name: one
        for name, one in vars(keras.callbacks).items()
        if isinstance(one, type) and issubclass(one, keras.callbacks.Callback)
    }
    found = []
    for name, arguments in task.callbacks.items():
        place = ("callbacks", name)
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"write one of {', '.join(sorted(known))}"
            raise task.places.fault(place, f"Keras has no such callback: {hint}")
        try:
            inspect.signature(known[name]).bind(**(arguments or {}))
            found.append(known[name](**(arguments or {})))
        except Exception as error:
            raise task.places.fault(place, f"it cannot be made so: {one_line(error)}") from error
    return found


def source(task: Declared) -> str:
    """Say where the model comes from.

    Example:
        >>> from nbkeras.tasks.declared import Declared
        >>> source(Declared(data={"training": "a.parquet"}, model="package.module:build"))
        'package.module:build'
    """
    model = task.model
    if model.function is not None and _is_file(model.function):
        path, _, name = model.function.rpartition(":")
        return f"{Path(path).name}:{name}"
    return model.function or (Path(model.file).name if model.file else "the task's own code")


def _model(task: Declared) -> Any:
    model = task.model
    if model.file is not None:
        return _of_file(task, model.file)
    with _beside(_folder(task)):
        if model.code is not None:
            return _of_code(task, model.code)
        assert model.function is not None
        path, _, name = model.function.rpartition(":")
        if _is_file(model.function):
            named = _run(task, _text(task, path), path, ("model", "function"))
            build = named.get(name)
        else:
            build = _of_module(task, path, name)
            named = vars(sys.modules[path]) if path in sys.modules else {}
        if not callable(build):
            functions = [one for one, value in named.items() if inspect.isfunction(value)]
            near = difflib.get_close_matches(name, functions, 1) or functions[:8]
            hint = f"it has {', '.join(near)}" if near else "define it there"
            raise task.places.fault(("model", "function"), f"{path} has no function {name!r}: {hint}")
        try:
            inspect.signature(build).bind(**model.arguments)
        except TypeError as error:
            raise task.places.fault(("model", "arguments"), f"{name}: {error}") from error
        return build(**model.arguments)


def _of_file(task: Declared, path: str) -> Any:
    from nbkeras import api

    if not filesystems.is_uri(path) and not Path(path).is_file():
        raise task.places.fault(("model", "file"), f"there is no file {path}")
    try:
        return api.load_model(path)
    except Exception as error:
        raise task.places.fault(
            ("model", "file"), f"Keras cannot load {path}: {one_line(error)}; save it by model.save"
        ) from error


def _of_module(task: Declared, module: str, name: str) -> Any:
    try:
        return pkgutil.resolve_name(f"{module}:{name}")
    except AttributeError:
        return None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module lacks another
        raise task.places.fault(
            ("model", "function"),
            f"there is no module {module!r}: install it, put it beside this file, or write file.py:{name}",
        ) from error
    except ValueError as error:
        raise task.places.fault(
            ("model", "function"), f"{module!r} is no name of a module: {error}"
        ) from error


def _of_code(task: Declared, code: str) -> Any:
    import keras

    place = ("model", "code")
    if code.lstrip().startswith("%%"):
        raise task.places.fault(place, "a magic is of a notebook: remove its line, %%keras_spark …")
    _require_no_fit(task, code, place)
    named = _run(task, code, "<model.code>", place)
    found = {id(one): name for name, one in named.items() if isinstance(one, keras.Model) and one.compiled}
    if "model" in named:
        return named["model"]
    if len(found) == 1:
        return named[next(iter(found.values()))]
    what = f"several compiled models, {', '.join(found.values())}" if found else "no compiled model"
    raise task.places.fault(place, f"it assigns {what}: assign one to model")


def _require_no_fit(task: Declared, code: str, place: Place) -> None:
    """Refuse a training in the code, which the builder's has: the task trains."""
    try:
        calls = [
            node
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ]
    except SyntaxError:
        return  # told where it is compiled
    methods = [
        (node.func, ast.unparse(node.func.value)) for node in calls if isinstance(node.func, ast.Attribute)
    ]
    compiled = {owner for func, owner in methods if func.attr == "compile"}
    for func, owner in methods:
        if func.attr == "fit" and owner in compiled:
            raise task.places.fault(
                place,
                f"its line {func.lineno} trains: remove {owner}.fit(…), the task trains the model itself",
            )


def _text(task: Declared, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise task.places.fault(("model", "function"), f"{path} cannot be read: {why}") from error


def _run(task: Declared, code: str, file: str, place: Place) -> dict[str, Any]:
    """Run code as a module, and return its names."""
    try:
        compiled = compile(code, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise task.places.fault(place, f"line {error.lineno} of {Path(file).name}: {error.msg}") from error
    module = types.ModuleType(_MODULE)
    if Path(file).exists():
        module.__file__ = file
    else:  # a traceback shows its lines too
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    sys.modules[_MODULE] = module
    exec(compiled, vars(module))  # noqa: S102  # what a task is for
    return vars(module)


def _is_file(function: str) -> bool:
    return function.rpartition(":")[0].endswith(".py")


def _folder(task: Declared) -> Path:
    """The folder whose modules the code may import: that of its file, or of the task's."""
    if task.model.function is not None and _is_file(task.model.function):
        return Path(task.model.function.rpartition(":")[0]).parent
    return Path(task.places.file or "task").absolute().parent


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Within the block, modules of a folder can be imported, in place of others of their names.

    Then they are forgotten: cloudpickle sends by value what it cannot import, so that no worker needs them,
    and the next task may have others of these names.
    """
    files = {one.stem for one in folder.glob("*.py")}
    names = files | {one.parent.name for one in folder.glob("*/__init__.py")}
    hidden = {
        name: one for name, one in sys.modules.items() if _top(name) in names and not _is_of(folder, name)
    }
    for name in hidden:
        del sys.modules[name]
    before = set(map(_top, sys.modules))
    for name in files & before:  # the notebook has imported it itself
        cloudpickle.register_pickle_by_value(sys.modules[name])
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        for name in [name for name in sys.modules if _top(name) not in before and _is_of(folder, name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_of(folder: Path, name: str) -> bool:
    """Whether a module is the task's own code, or of a module or package that lies in a folder."""
    file = getattr(sys.modules.get(_top(name)), "__file__", None)
    if name == _MODULE or not isinstance(file, str):
        return name == _MODULE
    own = Path(file).parent if Path(file).name == "__init__.py" else Path(file)
    return own.parent == folder
