"""A plain ``nn.Module`` as a model: how it is fed, and its outputs read by their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from stl_backbones.datasets.views import View
from stl_backbones.engine.precision import predict_in
from stl_backbones.errors import InputError, some_of
from stl_backbones.models.counting import count_parameters
from stl_backbones.models.hashing import weights_sha256
from stl_backbones.robustness.feeding import putting_on
from stl_backbones.robustness.predicted.given import (
    DEFAULT_CROP,
    Given,
    Normalised,
    Preprocessed,
    two_sides,
)
from stl_backbones.robustness.predictor import ADDRESS, Detections, Model, text_of, text_sha256

_LIBRARIES = ("torch", "torchvision", "timm", "transformers", "stl_backbones")
_FIELDS = ("boxes", "scores", "labels")


def module_model(
    network: nn.Module,
    given: Given,
    *,
    amp: str | None = None,
    own: Mapping[str, Any] | None = None,
    libraries: Sequence[str] = (),
    least_score: float = 0.0,
) -> Model:
    """Wrap a network.

    Args:
        network: In evaluation mode, on its device. A classifier or segmentation network takes
            ``(B, 3, H, W)``, a detector a list of ``(3, H, W)``, as torchvision's.
        given: The task, and what the network's images are.
        amp: Mixed precision, see `stl_backbones.engine.precision`.
        own: What its library says of its images, see `preparation`; default: timm's, of its own.
        libraries: Packages that it comes from.
        least_score: Detections below are left out.

    Raises:
        InputError: If it is in training mode, or something must be said of it.
    """
    task = str(given.task)
    check_evaluation_mode(network, given.name or type(network).__name__)
    prepare, view = preparation(given, task, _timm_data(network) if own is None else own)
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    runner = _Runner(network, task, device, amp, least_score)
    kinds = [_layer_text(name, layer) for name, layer in network.named_modules()]
    return Model(
        name=given.name or type(network).__name__,
        infer=runner,
        prepare=prepare,
        classes=given.classes,
        weights_sha256=weights_sha256(network),
        settings={"layers": kinds, "prepared": getattr(prepare, "text", "")},
        inference=", ".join(filter(None, (str(prepare), amp or ""))),
        device="cpu" if device.type == "cpu" else "",
        libraries=tuple(libraries),
        parameters=count_parameters(network),
        view=view,
    )


def _layer_text(name: str, layer: nn.Module) -> str:
    """What a layer is: its kind, its numbers, and of a user's own its text."""
    kind = type(layer)
    is_known = kind.__module__.partition(".")[0] in _LIBRARIES
    plain = int | float | tuple if is_known else int | float | tuple | str  # not where it lay
    own = {
        key: value
        for key, value in sorted(vars(layer).items())
        if isinstance(value, plain) and not key.startswith("_")
    }
    text = "" if is_known else text_sha256(text_of(kind))
    shown = f"{name} {kind.__qualname__}({layer.extra_repr()}) {own} {text}"
    return ADDRESS.sub("", shown)


def check_evaluation_mode(network: nn.Module, name: str) -> None:
    """Refuse a network that would drop activations, or take statistics of a batch.

    Raises:
        InputError: If a layer is in training mode.
    """
    training = [n or "the network" for n, layer in network.named_modules() if layer.training]
    if training:
        raise InputError(
            f"model '{name}' is in training mode ({some_of(training)}); call model.eval() first"
        )


def preparation(
    given: Given, task: str, own: Mapping[str, Any]
) -> tuple[Normalised | Preprocessed, View | None]:
    """How an image is prepared, and what of it a classifier sees.

    Args:
        given: What the user says.
        task: The task.
        own: What the model says of itself: ``mean``, ``std``, ``channel_order``, and of a
            classifier ``size``, ``crop_pct`` and ``interpolation``.

    Raises:
        InputError: If something must be said.
    """
    name = given.name or "the model"
    if given.preprocess is not None:
        return Preprocessed(given.preprocess), None
    mean, std = given.mean or own.get("mean"), given.std or own.get("std")
    if (mean is None or std is None) and task == "detection":
        mean, std = (0.0,), (1.0,)  # torchvision's detectors normalise by themselves
    if mean is not None and std is not None and max(*mean, *std) > 1:
        raise InputError(
            f"mean and std must be of values in 0..1, that of pixels 0..255 divided by 255, got "
            f"{list(mean)} and {list(std)}"
        )
    if mean is None or std is None:
        raise InputError(
            f"nothing says how the images of {name} are normalised: give mean and std, of values "
            "in 0..1, or preprocess"
        )
    order = given.channel_order or own.get("channel_order") or "RGB"
    if task != "classification":
        return Normalised(mean, std, two_sides(given.size), order), None
    size = given.size or own.get("size")
    if not isinstance(size, int):
        raise InputError(
            f"nothing says which images {name} takes: give size, the side of their square, or "
            f"preprocess{'' if size is None else f'; got size {size}'}"
        )
    return Normalised(mean, std, channel_order=order), View.of_crop_pct(
        size,
        own.get("crop_pct", DEFAULT_CROP) if given.crop_pct is None else given.crop_pct,
        interpolation=given.interpolation or own.get("interpolation") or "bilinear",
    )


def _timm_data(network: nn.Module) -> Mapping[str, Any]:
    """What timm says of a network of its own; nothing of others."""
    if not getattr(network, "pretrained_cfg", None):
        return {}
    data = resolve_model_data_config(network)
    return {**data, "size": data["input_size"][-1]}


class _Runner:
    """Calls a network on batches of one size, and takes its outputs apart."""

    def __init__(
        self, network: nn.Module, task: str, device: torch.device, amp: str | None, least: float
    ) -> None:
        self.network, self.task, self.amp, self.least = network, task, amp, least
        self.put = putting_on(device)

    def __call__(self, prepared: list[Any]) -> list[Any]:
        images = [_as_tensor(one) for one in prepared]
        if self.task == "detection":
            found = self._run([self.put(image) for image in images])
            return [_detections(one, self.least) for one in _list_of_dicts(found, len(images))]
        results: list[Any] = [None] * len(images)
        for shape in dict.fromkeys(tuple(image.shape) for image in images):
            places = [n for n, image in enumerate(images) if tuple(image.shape) == shape]
            batch = torch.stack([images[n] for n in places])
            output = _only_tensor(self._run(self.put(batch)), self.task, len(places))
            if output.ndim == 2:
                output = output.cpu()  # once, not for each image
            for place, one in zip(places, output, strict=True):
                results[place] = one
        return results

    def _run(self, batch: Any) -> Any:
        with torch.inference_mode(), predict_in(self.network, self.amp):
            return self.network(batch)


def _as_tensor(image: Any) -> Tensor:
    tensor = image if isinstance(image, Tensor) else torch.from_numpy(np.asarray(image))
    if tensor.ndim == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.ndim != 3:
        raise InputError(
            f"preprocess must give (channels, H, W), got {tuple(tensor.shape)} of an image"
        )
    return tensor


def _only_tensor(output: Any, task: str, count: int) -> Tensor:
    """The one tensor of an output that is the task's."""
    found = output
    if isinstance(output, Mapping) and not isinstance(output, Tensor):
        found = output.get("logits", output.get("out"))
    elif hasattr(output, "logits"):
        found = output.logits
    sides = {"classification": (2,), "segmentation": (3, 4)}[task]
    if found is output and isinstance(output, list | tuple):  # class and token scores, say
        fitting = [one for one in output if isinstance(one, Tensor) and one.ndim in sides]
        found = fitting[0] if len(fitting) == 1 else None
    if not isinstance(found, Tensor) or found.ndim not in sides or len(found) != count:
        shapes = {"classification": "(B, K)", "segmentation": "(B, K, h, w), or labels (B, H, W)"}
        raise InputError(
            f"expected a tensor {shapes[task]} of {count} images, alone, as .logits or as "
            f"['out'], got {_words(output)}; wrap the network in a function that returns it"
        )
    return found


def _list_of_dicts(output: Any, count: int) -> list[Mapping[str, Any]]:
    is_list = isinstance(output, list | tuple) and len(output) == count
    if not is_list or not all(
        isinstance(one, Mapping) and set(_FIELDS) <= one.keys() for one in output
    ):
        raise InputError(
            f"expected a list of {count} dicts with boxes, scores and labels, as torchvision's "
            f"detectors give, got {_words(output)}; wrap the network in a function that returns "
            "stl_backbones.Detections"
        )
    return list(output)


def _detections(one: Mapping[str, Any], least: float) -> Detections:
    kept = one["scores"] >= least
    masks = one.get("masks")
    if masks is not None:  # torchvision: (n, 1, H, W) in 0..1
        masks = (masks[kept] > 0.5).reshape(-1, *masks.shape[-2:])
    return Detections(one["boxes"][kept], one["scores"][kept], one["labels"][kept], masks)


def _words(output: Any) -> str:
    """What an output is, in a few words."""
    if isinstance(output, Tensor):
        return f"a tensor {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with {some_of(map(str, output), shown=6)}"
    if isinstance(output, list | tuple):
        return f"{len(output)} values: {some_of([_words(one) for one in output])}"
    return type(output).__name__


__all__ = ["check_evaluation_mode", "module_model", "preparation"]
