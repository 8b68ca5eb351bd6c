"""``hf:FOLDER_OR_ID``: networks of Hugging Face transformers, with their own image processors."""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from stl_backbones.engine.precision import predict_in
from stl_backbones.errors import InputError, first_sentence, some_of
from stl_backbones.models.fetching import check_reachable
from stl_backbones.models.weight_values import check_values
from stl_backbones.paths import check_file, check_folder
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.modules import module_model
from stl_backbones.robustness.predictor import Detections, Model, Pixels
from stl_backbones.robustness.sources.base import default_device

_HUB = "https://huggingface.co"
_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
_AUTO = {
    "classification": transformers.AutoModelForImageClassification,
    "segmentation": transformers.AutoModelForSemanticSegmentation,
    "detection": transformers.AutoModelForObjectDetection,
}
# What transformers or torch raise where folder and model do not fit.
_MISFITS = (
    OSError, ValueError, RuntimeError, LookupError, ImportError, AttributeError, TypeError,
    pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
# What a user says of images in place of the image processor.
_IMAGES = ("size", "crop_pct", "interpolation", "mean", "std", "preprocess")
# Of a config: where and by whom it was saved, not what it computes.
_ASIDE = ("_name_or_path", "transformers_version", "dtype", "architectures")


def transformers_model(rest: str, given: Given, options: SweepOptions) -> Model:
    """Load a network of transformers, without running code of its repository.

    Images are prepared by its own image processor. A user who gives ``size``, ``mean`` and ``std``
    goes without, and a classifier then sees a crop that is cut out before it is corrupted, as
    timm's.

    Args:
        rest: A folder, or an id of the hub.
        given: The task, and what the user says otherwise.
        options: Resolved options.

    Raises:
        InputError: If it is no such model, is for another task, is incomplete, or cannot be
            fetched.
        MissingFileError: If there is no such folder, or it holds no config.json.
    """
    task = str(given.task)
    if given.checkpoint is not None:
        raise InputError(f"'{rest}' brings its own weights; leave '{given.checkpoint}' out")
    is_local = _is_local(rest)
    with _quiet(is_local):
        network = _load_network(rest, task, is_local=is_local).to(default_device())
        named = dataclasses.replace(
            given,
            name=given.name or rest.rstrip("/").rpartition("/")[2],
            classes=given.classes or _class_names(network),
        )
        if any(getattr(given, said) is not None for said in _IMAGES):
            return _without_processor(network, named, options)
        processor = _load_processor(rest, task, is_local=is_local)
    model = module_model(
        network, dataclasses.replace(named, preprocess=processor), amp=options.amp,
        libraries=("transformers",),
    )  # fmt: skip
    return dataclasses.replace(
        model,
        infer=_Runner(network, processor, task, options.amp),
        prepare=_Prepared(processor),
        settings={**model.settings, "processor": processor.to_dict(), "config": _config(network)},
        inference=", ".join(filter(None, (type(processor).__name__, options.amp))),
        notes=_notes(processor, task),
    )


def _without_processor(network: nn.Module, given: Given, options: SweepOptions) -> Model:
    """The network with images as the user says."""
    if given.task == "detection":
        raise InputError(
            f"the boxes of '{given.name}' belong to its image processor; leave "
            f"{', '.join(_IMAGES)} out"
        )
    model = module_model(network, given, amp=options.amp, own={}, libraries=("transformers",))
    return dataclasses.replace(model, settings={**model.settings, "config": _config(network)})


def _is_local(place: str) -> bool:
    """Whether nothing can, or need, be fetched."""
    if Path(place).is_dir():
        check_file(Path(place) / "config.json", "description of the model")
        return True
    if not _ID.fullmatch(place):
        check_folder(place, "model folder")
    try:
        check_reachable(_HUB)
    except OSError:
        return True
    return False


def _load_network(place: str, task: str, *, is_local: bool) -> Any:
    auto = _AUTO[task]
    kind = ""
    try:
        config = transformers.AutoConfig.from_pretrained(
            place, local_files_only=is_local, trust_remote_code=False
        )
        kind = some_of(config.architectures or [type(config).__name__])
        network, loaded = auto.from_pretrained(
            place, config=config, local_files_only=is_local, trust_remote_code=False,
            weights_only=True, dtype=torch.float32, output_loading_info=True,
        )  # fmt: skip
    except _MISFITS as error:
        raise _no_model(place, task, kind, error) from error
    absent = sorted(loaded["missing_keys"])
    if absent:
        raise InputError(
            f"'{place}', a {kind}, lacks weights that {type(network).__name__} has "
            f"({some_of(absent)}); expected a model for {task}"
        )
    check_values(network, network.state_dict(), place)
    return network.eval()


def _no_model(place: str, task: str, kind: str, error: BaseException) -> InputError:
    """What is wrong with a folder or an id."""
    if isinstance(error, OSError) and not Path(place).is_dir():
        return InputError(
            f"'{place}' is no folder, and cannot be fetched ({first_sentence(error)}); where there "
            f"is a network, `hf download {place} --local-dir DIR`, and give hf:DIR"
        )
    if "Unrecognized configuration class" in str(error):
        return InputError(
            f"'{place}' is a {kind}; expected a model for {task}, which transformers' "
            f"{_AUTO[task].__name__} loads"
        )
    if isinstance(error, pickle.UnpicklingError) or "Weights only load failed" in str(error):
        return InputError(
            f"the weights of '{place}' hold pickled code beside tensors; refused, since loading "
            "them would run it; expected model.safetensors"
        )
    return InputError(f"transformers cannot load '{place}' for {task}: {first_sentence(error)}")


def _load_processor(place: str, task: str, *, is_local: bool) -> Any:
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            place, local_files_only=is_local, trust_remote_code=False
        )
    except OSError as error:
        say = "" if task == "detection" else ", or give size, mean and std"
        raise InputError(
            f"'{place}' has no preprocessor_config.json, so nothing says how its images are "
            f"prepared: save its image processor there (processor.save_pretrained){say}"
        ) from error
    except _MISFITS as error:
        raise InputError(
            f"transformers cannot load the image processor of '{place}': {first_sentence(error)}"
        ) from error
    if task == "detection" and not hasattr(processor, "post_process_object_detection"):
        raise InputError(
            f"the image processor of '{place}', {type(processor).__name__}, makes no boxes of the "
            "network's outputs; expected a detector's"
        )
    return processor


def _class_names(network: Any) -> tuple[str, ...] | None:
    """The names of its labels; ``None`` where they are numbers, as transformers leaves them."""
    names: Mapping[int, str] = network.config.id2label or {}
    if sorted(names) != list(range(len(names))):
        return None
    if all(name == f"LABEL_{label}" for label, name in names.items()):
        return None
    return tuple(str(names[label]) for label in range(len(names)))


def _config(network: Any) -> dict[str, Any]:
    """What a network's config says of how it computes."""
    stated = network.config.to_dict()
    return {name: value for name, value in stated.items() if name not in _ASIDE}


def _notes(processor: Any, task: str) -> tuple[str, ...]:
    if task == "classification" or not getattr(processor, "do_center_crop", False):
        return ()
    return (
        "the image processor crops images, and results of the crop are stretched over the whole "
        "image, as the library's own pipeline does",
    )


class _Prepared:
    """An image as its processor prepares it, and its height and width."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, image: Pixels) -> tuple[dict[str, Tensor], tuple[int, int]]:
        made = self.processor(images=Image.fromarray(image), return_tensors="pt")
        tensors = {name: value[0] for name, value in made.items() if isinstance(value, Tensor)}
        return tensors, (image.shape[0], image.shape[1])


class _Runner:
    """Calls a network on batches of one shape, and reads its outputs as the library does."""

    def __init__(self, network: nn.Module, processor: Any, task: str, amp: str | None) -> None:
        self.network, self.processor, self.task, self.amp = network, processor, task, amp
        self.device = next(network.parameters()).device

    def __call__(self, prepared: Sequence[Any]) -> list[Any]:
        shapes = [
            tuple((name, tuple(value.shape)) for name, value in sorted(tensors.items()))
            for tensors, _ in prepared
        ]
        results: list[Any] = [None] * len(prepared)
        for shape in dict.fromkeys(shapes):
            places = [place for place, own in enumerate(shapes) if own == shape]
            found = self._batch([prepared[place] for place in places])
            for place, one in zip(places, found, strict=True):
                results[place] = one
        return results

    def _batch(self, images: Sequence[Any]) -> Sequence[Any]:
        batch = {
            name: torch.stack([tensors[name] for tensors, _ in images]).to(self.device)
            for name in images[0][0]
        }
        with torch.inference_mode(), predict_in(self.network, self.amp):
            output = self.network(**batch)
        if self.task != "detection":
            return output.logits.cpu() if output.logits.ndim == 2 else output.logits
        sizes = torch.tensor([size for _, size in images])
        found = self.processor.post_process_object_detection(
            output, threshold=0.0, target_sizes=sizes
        )
        return [Detections(one["boxes"], one["scores"], one["labels"]) for one in found]


@contextmanager
def _quiet(is_local: bool) -> Iterator[None]:
    """Keep the library's bars and remarks off the terminal, but for those of a download."""
    log = transformers.utils.logging
    level, shows = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    if is_local:
        log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if shows:
            log.enable_progress_bar()


__all__ = ["transformers_model"]
