"""The one contract for models from anywhere: uint8 images in, one result an image out."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from stl_backbones.datasets.views import View
from stl_backbones.errors import InputError, UserError

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), RGB
Result = Any  # an array, or `Detections`
UNVERIFIED = "UNVERIFIED MODEL: identified by its name and source text only; give version"
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True)
class Detections:
    """What a detector finds on one image.

    Attributes:
        boxes: ``(n, 4)``, left, top, right, bottom in pixels of the image.
        scores: ``(n,)``, the higher the surer.
        labels: ``(n,)``, integers, positions in the model's list of classes.
        masks: ``(n, H, W)`` booleans; ``None`` for a detector of boxes alone.
    """

    boxes: Any
    scores: Any
    labels: Any
    masks: Any = None


@runtime_checkable
class Predictor(Protocol):
    """Anything that predicts: this one method is all that a model needs."""

    def predict(self, images: list[Pixels]) -> Sequence[Result]:
        """Predict images.

        Args:
            images: ``(H, W, 3)`` uint8 RGB each; sizes may differ.

        Returns:
            For each image: class scores ``(K,)``, as logits or as probabilities; a label map
            ``(H, W)`` or class scores of the pixels ``(K, h, w)``; or `Detections`. Arrays of NumPy
            or torch.
        """
        ...


@dataclass(frozen=True)
class Model:
    """A predictor, and what a sweep must know of it.

    Attributes:
        name: Its name in tables.
        infer: Prepared images -> one result an image.
        prepare: An image -> what `infer` takes; runs in the workers. Default: nothing is done.
        classes: The class names in the order of its results; ``None`` where it states none.
        weights_sha256: Hash of its weights or file; of the name for a model without ``version``.
        settings: What else decides predictions, as plain data.
        notes: Sentences that every table must print.
        inference: How it predicts, in words.
        device: Where it runs; empty for the device that torch would take.
        libraries: Packages that predict.
        parameters: How many; 0 if not counted.
        view: Of a classifier: what is cut out of an image before it is corrupted; ``None``: the
            whole image.
    """

    name: str
    infer: Callable[[list[Any]], Sequence[Result]]
    prepare: Callable[[Pixels], Any] | None = None
    classes: tuple[str, ...] | None = None
    weights_sha256: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inference: str = ""
    device: str = ""
    libraries: tuple[str, ...] = ()
    parameters: int = 0
    view: View | None = None

    @property
    def config_sha256(self) -> str:
        """Hash of what decides predictions beside the weights."""
        stated = {"settings": self.settings, "classes": self.classes, "inference": self.inference}
        return text_sha256(json.dumps(stated, sort_keys=True, default=str))

    @property
    def prepared(self) -> Callable[[Pixels], Any]:
        """What makes of an image what `infer` takes."""
        return as_it_is if self.prepare is None else self.prepare

    def results(self, prepared: Sequence[Any]) -> list[Result]:
        """One result an image.

        Raises:
            InputError: If the model fails, or gives another number of results.
        """
        images = list(prepared)
        try:
            found = self.infer(images)
            found = found if hasattr(found, "__len__") else list(found)
        except UserError:
            raise
        except Exception as error:  # the model is anyone's
            raise InputError(
                f"model '{self.name}' fails on {len(images)} images: {type(error).__name__}: "
                f"{' '.join(str(error).split()) or 'without a message'}"
            ) from error
        if len(found) != len(images):
            raise InputError(
                f"model '{self.name}' returned {len(found)} results for {len(images)} images; "
                "expected one for each, in their order"
            )
        return list(found)


def as_it_is(image: Pixels) -> Pixels:
    """The image, of which the model may make what it likes."""
    return image.copy()


def text_of(code: Any) -> str:
    """The source text of a function or a class, to notice that it was changed.

    Returns:
        Its name, its text, or its byte code where there is no text, and the plain values that a
        function has from around it.
    """
    name = f"{getattr(code, '__module__', '')}.{getattr(code, '__qualname__', type(code).__name__)}"
    try:
        text = inspect.getsource(code)
    except (OSError, TypeError):
        compiled = getattr(code, "__code__", None)
        text = "" if compiled is None else f"{compiled.co_code.hex()} {compiled.co_consts}"
    around = [
        cell.cell_contents
        for cell in getattr(code, "__closure__", None) or ()
        if isinstance(cell.cell_contents, int | float | str | tuple)
    ]
    return ADDRESS.sub("", f"{name}\n{text}\n{around}")


def text_sha256(text: str) -> str:
    """sha256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def as_array(values: Any) -> npt.NDArray[Any]:
    """A result's numbers as an array, from NumPy, torch, or lists."""
    if hasattr(values, "detach"):  # torch, which has no bfloat16 in common with NumPy
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
        return values.numpy()
    return np.asarray(values)


__all__ = [
    "UNVERIFIED", "Detections", "Model", "Pixels", "Predictor", "Result", "as_array", "as_it_is",
    "text_of", "text_sha256",
]  # fmt: skip
