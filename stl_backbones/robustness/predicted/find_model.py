"""What model an object or a source string is."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from stl_backbones.corruptions import import_modules
from stl_backbones.errors import InputError, UserError, some_of, unknown_name
from stl_backbones.models.hashing import file_sha256
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.functions import predictor_model
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.modules import module_model
from stl_backbones.robustness.predictor import Model, Predictor

# Prefix of a source string -> module and function, called with what follows, what the user says
# and the options. Imported when it is asked for: each may need a package of its own.
_LIBRARIES = {
    "torchvision": ("torchvision_models", "torchvision_model"),
    "hf": ("transformers_models", "transformers_model"),
}
FORMS = "timm:NAME, torchvision:NAME, hf:FOLDER_OR_ID, FILE.onnx, FILE.py:FUNCTION"


def open_model(model: Any, given: Given, options: SweepOptions) -> Model:
    """Wrap a model.

    Args:
        model: An ``nn.Module``, an object with ``predict``, a function, or a source string.
        given: What the user says of it.
        options: Resolved options.

    Raises:
        InputError: If it is nothing of these, or something must be said of it.
        MissingFileError: If a file is missing.
        MissingPackageError: If its library is not installed.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, str | Path):
        return _by_name(str(model), given, options)
    if isinstance(model, type):
        raise InputError(
            f"model is the class {model.__name__}; expected an object of it, {model.__name__}(...)"
        )
    if isinstance(model, Predictor):
        return predictor_model(model, given)
    if isinstance(model, nn.Module):
        _check_labels(given, type(model).__name__)
        return module_model(model, given, amp=options.amp)
    if callable(model):
        return predictor_model(model, given)
    raise InputError(
        f"expected a model: an nn.Module, an object with predict, a function, or one of {FORMS}; "
        f"got {type(model).__name__}"
    )


def _check_labels(given: Given, name: str) -> None:
    """Refuse a detector of which nothing says what its labels are: some count from 1."""
    if given.task == "detection" and given.classes is None:
        raise InputError(
            f"nothing says which class label 0 of '{given.name or name}' is: give model_classes "
            "(--model-classes FILE) in the order of its labels; torchvision's detectors begin "
            "with '__background__'"
        )


def _by_name(source: str, given: Given, options: SweepOptions) -> Model:
    prefix, colon, rest = source.partition(":")
    if colon and prefix in _LIBRARIES:
        module, function = _LIBRARIES[prefix]
        return _wrapper(module, function)(rest, given, options)
    if source.lower().endswith(".onnx"):
        return _wrapper("onnx_files", "onnx_model")(source, given, options)
    file, _, function = source.rpartition(":")
    if file.endswith(".py"):
        return _by_function(Path(file), function, given, options)
    if colon and "/" not in prefix:
        raise unknown_name("kind of model", prefix, ("timm", *_LIBRARIES))
    raise InputError(f"model '{source}': expected one of {FORMS}")


def _by_function(file: Path, function: str, given: Given, options: SweepOptions) -> Model:
    """What a function of the user's returns; without a version its file is part of what it is."""
    build = load_function(file, function)
    try:
        made = build()
    except UserError:
        raise
    except Exception as error:
        raise InputError(
            f"'{file}': {function}() fails: {type(error).__name__}: {error}; expected a function "
            "without arguments that returns the model"
        ) from error
    model = open_model(made, given, options)
    stated = f"{function} {'' if given.version else file_sha256(file)}"
    return dataclasses.replace(model, settings={**model.settings, "function": stated})


def _wrapper(module: str, function: str) -> Callable[..., Model]:
    return getattr(import_module(f"stl_backbones.robustness.predicted.{module}"), function)


def load_function(file: str | Path, name: str) -> Callable[[], Any]:
    """A function of a Python file of the user's, which is run once, as ``--custom-imports`` does.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it fails, or has no such function.
    """
    path = Path(file)
    import_modules([str(path)])
    module = sys.modules[path.stem]
    found = getattr(module, name, None)
    if not callable(found):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InputError(
            f"'{path}' has no function '{name}' (it has {some_of(names)}); expected one without "
            "arguments that returns the model"
        )
    return found


__all__ = ["FORMS", "load_function", "open_model"]
