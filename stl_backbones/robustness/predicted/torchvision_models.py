"""``torchvision:NAME``: torchvision's classifiers, segmentation networks and detectors."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import get_model_builder, get_model_weights, list_models

from stl_backbones.errors import (
    InputError,
    UnknownNameError,
    did_you_mean,
    first_sentence,
    unknown_name,
)
from stl_backbones.models import read_checkpoint, select_state_dict
from stl_backbones.models.fetching import local_file
from stl_backbones.models.hashing import file_sha256
from stl_backbones.models.state_dicts import unwrapped
from stl_backbones.models.weight_values import check_values
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.modules import module_model
from stl_backbones.robustness.predictor import Model
from stl_backbones.robustness.sources.base import default_device
from stl_backbones.robustness.sources.timm import recorded_classes

# The folder of a builder in torchvision.models -> the task; others are refused.
_TASKS = {
    "": "classification", "segmentation": "segmentation", "detection": "detection",
}  # fmt: skip
_HASH = re.compile(r"-([0-9a-f]{8,64})\.")  # in the name of a released file
_BACKGROUND = "__background__"


def torchvision_model(rest: str, given: Given, options: SweepOptions) -> Model:
    """Build a network of torchvision.

    Args:
        rest: ``'NAME'`` or ``'NAME:WEIGHTS'``, as ``'resnet50:IMAGENET1K_V1'``; without, the
            default weights.
        given: The task; ``checkpoint``, a file of weights in place of torchvision's; and what is
            otherwise than the weights' own ``transforms()``. A file with the weights of a network
            trained anew says its number of classes.
        options: Resolved options.

    Raises:
        UnknownNameError: If torchvision has no such model, or no such weights of it.
        InputError: If the model is for another task, or the weights do not fit or cannot be
            fetched.
        MissingFileError: If the file is missing.
    """
    name, _, asked = rest.partition(":")
    name = _known(name)
    task = _task(name)
    if task is None or task != given.task:
        raise InputError(
            f"torchvision's '{name}' is for {task or 'none of our tasks'}, the data are for "
            f"{given.task}"
        )
    weights = _weights(name, asked)
    # torchvision would unpickle what it fetches.
    path = local_file(weights.url if given.checkpoint is None else given.checkpoint)
    raw, source = read_checkpoint(path), str(path)
    state = select_state_dict(raw, source=source)
    released = weights if given.checkpoint is None else _released(name, path)
    if released is not None:
        weights, count = released, _count(released)
        with _safely_read(weights, state):
            network = get_model_builder(name)(weights=weights)
    else:
        network, state, count = _filled(name, task, weights, state, source, is_named=bool(asked))
    check_values(network, state, source)
    given = dataclasses.replace(
        given,
        name=given.name or name,
        classes=_names(given.classes or recorded_classes(raw), weights, task, count, source),
    )
    return _wrapped(network.eval().to(default_device()), given, options, weights, name)


def _wrapped(
    network: nn.Module, given: Given, options: SweepOptions, weights: Any, name: str
) -> Model:
    """The model, whose images are prepared as for the weights."""
    transforms = weights.transforms()
    own: dict[str, Any] = {}
    only = getattr(network, "image_size", None)  # of a ViT
    if only is not None and given.size not in (None, only):
        raise InputError(f"'{given.name}' takes images of {only} alone, got size {given.size}")
    if given.task == "classification":
        side, shorter = transforms.crop_size[0], transforms.resize_size[0]
        own = {
            "mean": transforms.mean, "std": transforms.std, "size": side,
            "crop_pct": side / shorter, "interpolation": transforms.interpolation.value,
        }  # fmt: skip
    elif given.task == "segmentation":
        own = {"mean": transforms.mean, "std": transforms.std}
        if given.mean is given.std is given.size is given.preprocess is None:
            given = dataclasses.replace(given, preprocess=transforms)
    model = module_model(network, given, amp=options.amp, own=own, libraries=("torchvision",))
    return dataclasses.replace(model, settings={**model.settings, "torchvision": name})


def _known(name: str) -> str:
    names = list_models()
    if name.lower() not in names:
        raise UnknownNameError(f"torchvision has no model '{name}'{did_you_mean(name, names)}")
    return name.lower()


def _task(name: str) -> str | None:
    folder = get_model_builder(name).__module__.removeprefix("torchvision.models.")
    return _TASKS.get(folder.rpartition(".")[0])


def _weights(name: str, asked: str) -> Any:
    """The weights of a name, or the default ones."""
    known = get_model_weights(name)
    asked = asked.rpartition(".")[2] or "DEFAULT"
    if asked not in known.__members__:
        raise unknown_name(f"weights of torchvision's '{name}'", asked, known.__members__)
    return known[asked]


def _released(name: str, path: Path) -> Any:
    """The weights that a file holds unchanged; ``None`` for others."""
    digest = file_sha256(path)
    for weights in get_model_weights(name):
        found = _HASH.search(weights.url)
        if found is not None and digest.startswith(found[1]):
            return weights
    return None


@contextmanager
def _safely_read(weights: Any, state: Mapping[str, Tensor]) -> Iterator[None]:
    """Have torchvision take weights that were read already."""
    vars(weights)["get_state_dict"] = lambda *_, **__: dict(state)
    try:
        yield
    finally:
        del vars(weights)["get_state_dict"]


def _filled(
    name: str,
    task: str,
    weights: Any,
    state: Mapping[str, Tensor],
    source: str,
    *,
    is_named: bool,
) -> tuple[nn.Module, dict[str, Tensor], int]:
    """A network with the weights of a user's file, these, and the number of classes."""
    build = get_model_builder(name)
    settings: dict[str, Any] = {"weights": None}
    if task != "classification":
        settings["weights_backbone"] = None
    if any("aux_classifier." in key for key in state):
        settings["aux_loss"] = True
    if name in ("googlenet", "inception_v3"):
        settings["aux_logits"] = any("aux1." in key or "AuxLogits." in key for key in state)
        # A file trained from released weights takes images as they do.
        settings |= {"init_weights": False, "transform_input": is_named}
    if name.startswith("vit_"):
        settings["image_size"] = weights.transforms().crop_size[0]
    network = build(**settings)
    own = network.state_dict()
    bare = unwrapped(state, own.keys())
    usual = _count(weights)
    classes = _class_count(own, bare, usual)
    try:
        if classes != usual:
            network = build(**settings, num_classes=classes)
        network.load_state_dict(bare)
    except RuntimeError as error:
        raise InputError(
            f"'{source}' does not fit torchvision's '{name}' with {classes} classes, is it another "
            f"network's? {first_sentence(error)}"
        ) from error
    return network, bare, classes


def _class_count(own: Mapping[str, Tensor], state: Mapping[str, Tensor], usual: int) -> int:
    """How many classes a file is for, by the layers whose length is a multiple of the number."""
    found = {
        len(state[key]) * usual / len(value)
        for key, value in own.items()
        if key in state
        and state[key].ndim == value.ndim > 0
        and state[key].shape != value.shape
        and len(value) % usual == 0
    }
    return int(found.pop()) if len(found) == 1 and min(found) >= 1 else usual


def _count(weights: Any) -> int:
    """Classes of released weights."""
    return len(weights.meta.get("categories") or ()) or 1000


def _names(
    said: Sequence[str] | None, weights: Any, task: str, count: int, source: str
) -> tuple[str, ...] | None:
    """The class names in the order of a network's results, where they are known.

    A detector's label 0 is the background, which users leave out.
    """
    if said is None:
        known = weights.meta.get("categories")
        if known and len(known) == count:
            return tuple(known)
        if task != "detection":
            return None
        raise InputError(
            f"nothing names the {count - 1} classes of '{source}': give model_classes "
            "(--model-classes FILE), the names of its labels 1, 2, ..."
        )
    if task == "detection" and len(said) == count - 1:
        said = (_BACKGROUND, *said)
    if len(said) != count:
        raise InputError(f"'{source}' has {count} classes, but {len(said)} are named")
    return tuple(said)


__all__ = ["torchvision_model"]
