"""Runs an ONNX file on prepared images, and makes results of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError, UserError, some_of
from stl_backbones.models.onnx_session import explained
from stl_backbones.robustness.predicted.onnx_decoders import Decoder
from stl_backbones.robustness.predicted.onnx_input import Fit, OnnxInput
from stl_backbones.robustness.predictor import Detections, Result

# Outputs of one image as the file gives them, height and width of its input and of the image.
Function = Callable[[Mapping[str, npt.NDArray[Any]], tuple[int, int], tuple[int, int]], Detections]
_RANKS = {"classification": (2,), "segmentation": (3, 4)}  # of an output
_WORDS = {
    "classification": "class scores (B, K)",
    "segmentation": "class scores (B, K, h, w) or labels (B, H, W)",
}
_FIRST = ("logits", "out")  # of several such outputs


class Runner:
    """Calls a file on batches of one size.

    Args:
        session: onnxruntime's.
        input_: The file's.
        name: The file, for messages.
        read: Makes results of outputs.
    """

    def __init__(self, session: Any, input_: OnnxInput, name: str, read: OneArray | Boxes) -> None:
        self.session, self.input, self.name, self.read = session, input_, name, read

    def __call__(self, prepared: list[Any]) -> list[Result]:
        """One result for each image and its size, see `Fed`."""
        shapes = [np.asarray(values).shape for values, _ in prepared]
        results: list[Result] = [None] * len(prepared)
        for shape in dict.fromkeys(shapes):
            places = [n for n, other in enumerate(shapes) if other == shape]
            step = self.read.at_once(self.input.batch) or len(places)
            for start in range(0, len(places), step):
                group = places[start : start + step]
                found = self._run([prepared[n] for n in group])
                for place, one in zip(group, found, strict=True):
                    results[place] = one
        return results

    def _run(self, prepared: Sequence[Any]) -> list[Result]:
        names = self.read.names or [one.name for one in self.session.get_outputs()]
        fed = self.fed(prepared)
        with explained(self.name):
            outputs = dict(zip(names, self.session.run(names, fed), strict=True))
        shape = fed[self.input.name].shape[-3:]
        return self.read(outputs, [size for _, size in prepared], self.input.sides(shape))

    def fed(self, prepared: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
        """The input by its name; a batch of a fixed number is filled up with its last image."""
        images = [self._checked(values) for values, _ in prepared]
        missing = (self.input.batch or 1) - len(images)
        batch = images[0] if self.input.batch == 0 else np.stack(images + images[-1:] * missing)
        return {self.input.name: batch}

    def _checked(self, values: Any) -> npt.NDArray[Any]:
        image = np.asarray(values)
        image = image[0] if image.ndim == 4 and len(image) == 1 else image
        if not self.input.takes(image.shape) or (
            self.input.dtype == np.uint8 and image.dtype != np.uint8
        ):
            raise InputError(
                f"{self.name} takes images {self.input.shape} {self.input.dtype}, preprocess gives "
                f"{image.shape} {image.dtype}"
            )
        return image.astype(self.input.dtype, copy=False)


class OneArray:
    """Class scores or label maps, of one output.

    Args:
        output: Its name.
        is_map: Whether it is for pixels.
        channels_last: Of class scores of pixels: ``(B, h, w, K)``.
        name: The file, for messages.
    """

    def __init__(self, output: str, is_map: bool, channels_last: bool, name: str) -> None:
        self.names = [output]
        self.is_map, self.channels_last, self.name = is_map, channels_last, name

    @classmethod
    def of(cls, outputs: Sequence[Any], task: str, input_: OnnxInput, name: str) -> OneArray:
        """Choose the output of the task's shape; of several the one named logits or out.

        Raises:
            InputError: If none is, or several are.
        """
        fitting = [one for one in outputs if len(one.shape) in _RANKS[task]]
        first = [one for one in fitting if one.name in _FIRST]
        if len(outputs) > 1 and len(first or fitting) != 1:
            shapes = some_of((f"{one.name} {one.shape}" for one in outputs), shown=4)
            raise InputError(
                f"{name} has {len(outputs)} outputs ({shapes}); expected one of {_WORDS[task]}, or "
                "one named logits: run the file in a function of your own"
            )
        chosen = (first or fitting or outputs)[0].name
        return cls(chosen, task == "segmentation", input_.channels_last, name)

    def at_once(self, batch: int | None) -> int | None:
        """Images of a call; ``None`` for any number."""
        return 1 if batch == 0 else batch

    def __call__(
        self,
        outputs: Mapping[str, npt.NDArray[Any]],
        images: Sequence[tuple[int, int]],
        size: tuple[int, int],
    ) -> list[Result]:
        """One result an image."""
        del size
        (found,) = outputs.values()
        task = "segmentation" if self.is_map else "classification"
        if found.ndim not in _RANKS[task] or len(found) < len(images):
            raise InputError(
                f"output '{self.names[0]}' of {self.name} is {found.shape} for {len(images)} "
                f"images; expected {_WORDS[task]}"
            )
        if not self.is_map:
            return list(found[: len(images)])
        if found.ndim == 4 and self.channels_last:
            found = found.transpose(0, 3, 1, 2)
        return [_as_map(one, image) for one, image in zip(found, images, strict=False)]


def _as_map(found: npt.NDArray[Any], image: tuple[int, int]) -> npt.NDArray[Any]:
    """Class scores as they are; labels at the image's size, by the nearest pixel."""
    if found.dtype.kind not in "iub" or found.shape[-2:] == image:
        return found
    labels = found.reshape(-1, *found.shape[-2:])[0].astype(np.int32)
    return cv2.resize(labels, image[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


class Boxes:
    """Detections, by a decoder, of one image at a time.

    Args:
        decoder: Of a name, or a function.
        fit: How images lie in the input.
        input_: The file's.
        name: The file, for messages.

    Raises:
        InputError: If the file takes several images at once.
    """

    names: list[str] | None = None  # all

    def __init__(self, decoder: Decoder | Function, fit: Fit, input_: OnnxInput, name: str) -> None:
        if (input_.batch or 1) != 1:
            raise InputError(
                f"{name} takes {input_.batch} images at once; expected a detector that takes one, "
                "or any number"
            )
        self.decoder, self.fit, self.name = decoder, fit, name

    def at_once(self, batch: int | None) -> int:
        """One image: outputs of some files have no axis for it."""
        del batch
        return 1

    def __call__(
        self,
        outputs: Mapping[str, npt.NDArray[Any]],
        images: Sequence[tuple[int, int]],
        size: tuple[int, int],
    ) -> list[Result]:
        """`Detections` of the image."""
        (image,) = images
        if isinstance(self.decoder, Decoder):
            fit = Fit(self.fit.kind, size)
            return [fit.back(self.decoder.decode(outputs, size), image)]
        try:
            return [self.decoder(outputs, size, image)]
        except UserError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{key} {value.shape}" for key, value in outputs.items())
            raise InputError(
                f"the decoder of {self.name} fails on {shapes}: {type(error).__name__}: {error}"
            ) from error


__all__ = ["Boxes", "Function", "OneArray", "Runner"]
