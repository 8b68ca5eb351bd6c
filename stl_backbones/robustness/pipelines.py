"""Test pipelines of any config, made fit for a sweep: steps are found by their type, anywhere.

A sweep corrupts the image right after it is loaded, at full size, once. So the loading step is
taken out of whatever wraps it (`TestTimeAug`, `RandomChoice`, ...) and put in front; what it does
beside loading, a cast to float32, moves behind the corruption.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from stl_backbones.errors import InputError

LOADERS = ("LoadImageFromFile", "LoadImageFromNDArray", "LoadImageFromWebcam")
_FROM_MEMORY = LOADERS[1:]  # expect the decoded image in `results`
_AUGMENTED = "TestTimeAug"  # its `transforms` are alternatives, step by step
_TO_FLOAT32 = {"type": "stl_backbones.ToFloat32"}
_LABELS = "LoadAnnotations"
_TRUTH = (_LABELS, "LoadPanopticAnnotations")

# Steps of mmcv, mmseg and mmdet that resize, flip or pad, a label map too if it is there already.
_GEOMETRIC = frozenset(
    {
        "Albu", "CenterCrop", "FixScaleResize", "Pad", "RandomChoiceResize", "RandomFlip",
        "RandomResize", "Resize", "ResizeShortestEdge", "ResizeToMultiple",
    }
)  # fmt: skip

# What models and test-time augmentation read from a packed sample; both libraries' defaults.
_META_KEYS = {
    "segmentation": (
        "img_path", "seg_map_path", "ori_shape", "img_shape", "pad_shape", "scale_factor", "flip",
        "flip_direction", "reduce_zero_label",
    ),
    "detection": (
        "img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction",
    ),
}  # fmt: skip


def prepare_pipeline(pipeline: Sequence[Any], *, task: str) -> tuple[list[Any], list[Any]]:
    """Make a test pipeline fit for a sweep, and split it where the corruption goes.

    Segmentation: the label map is loaded after the image is resized and flipped, so that it keeps
    its size, and is added where the config does not load it. Detection: the truth is not loaded, a
    sweep takes it from the annotation file. Both: packed samples carry what the models read.

    Args:
        pipeline: Step configs; not changed.
        task: ``'segmentation'`` or ``'detection'``.

    Returns:
        The steps up to and with the one that loads the image as uint8, and the rest.

    Raises:
        ValueError: If no step loads an image or packs the sample, or two load it differently.
    """
    loading, rest = split_after_loading(pipeline)
    if not any(_is_packing(_type_name(step)) for step in _walk(rest)):
        raise InputError(
            "the test pipeline packs no sample: expected a PackSegInputs or PackDetInputs step, "
            f"got {[_type_name(step) for step in pipeline]}"
        )
    truth = [step for step in loading if _type_name(step) in _TRUTH]
    loading = [step for step in loading if step not in truth]
    rest = with_label_map([*truth, *rest]) if task == "segmentation" else _drop(rest, _TRUTH)
    return loading, [_with_meta_keys(step, _META_KEYS[task]) for step in rest]


def split_after_loading(pipeline: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Split a pipeline behind the step that loads the image, found by its type.

    A loading step inside a wrapper is moved in front of it; one that expects a decoded image
    becomes one that reads the file; a second one, which would undo a corruption, is left out.

    Args:
        pipeline: Step configs, or built steps; not changed.

    Returns:
        The steps up to and with the loading one, which loads uint8, and the rest.

    Raises:
        ValueError: If no step loads an image, or two do so differently.
    """
    found = [step for step in _walk(pipeline) if _type_name(step) in LOADERS]
    if not found:
        names = [_type_name(step) for step in pipeline]
        raise InputError(f"the pipeline loads no image: expected a {LOADERS[0]} step, got {names}")
    position = next(index for index, step in enumerate(pipeline) if _holds(step, LOADERS))
    rest = _drop(pipeline[position:], LOADERS)
    loader, is_float = _as_uint8_file_loader(found)
    casts = [dict(_TO_FLOAT32)] if is_float else []
    return [*pipeline[:position], loader], [*casts, *rest]


def with_label_map(steps: Sequence[Any]) -> list[Any]:
    """Load the label map behind everything that resizes or flips; add its step if there is none.

    Args:
        steps: Step configs after the loading one, with a packing step among them; not changed.
    """
    steps = list(steps)
    packing = next(index for index, step in enumerate(steps) if _holds_packing(step))
    if _is_packing(_type_name(steps[packing])):
        return _order_labels(steps)
    outside = [step for step in steps if _type_name(step) == _LABELS]
    wrapper = dict(steps[packing])
    wrapper["transforms"] = _order_labels(list(wrapper["transforms"]), label=outside)
    steps[packing] = wrapper
    return [step for step in steps if _type_name(step) != _LABELS]


def _order_labels(elements: list[Any], *, label: Sequence[Any] = ()) -> list[Any]:
    """Put geometric elements in front of the one that loads the label map; add it if absent.

    An element is a step or, in test-time augmentation, a list of alternatives.
    """
    at = next((index for index, step in enumerate(elements) if _holds(step, (_LABELS,))), None)
    if at is None:
        new = label[0] if label else {"type": _LABELS}
        packing = next(index for index, step in enumerate(elements) if _holds_packing(step))
        in_alternatives = isinstance(elements[packing], list | tuple)
        return [*elements[:packing], [new] if in_alternatives else new, *elements[packing:]]
    geometric = [element for element in elements[at:] if _holds(element, _GEOMETRIC)]
    others = [element for element in elements[at:] if not _holds(element, _GEOMETRIC)]
    return [*elements[:at], *geometric, *others]


def _as_uint8_file_loader(found: Sequence[Any]) -> tuple[Any, bool]:
    """The one step that stands for all loading steps, and whether they hand on float32."""
    from_file = [step for step in found if _type_name(step) not in _FROM_MEMORY] or list(found)
    loader = from_file[0]
    if not isinstance(loader, dict):
        is_float = bool(getattr(loader, "to_float32", False))
        if is_float:
            loader = copy.copy(loader)
            loader.to_float32 = False
        return loader, is_float
    loader = dict(loader)
    options = [
        {name: value for name, value in step.items() if name not in ("type", "to_float32")}
        for step in from_file
    ]
    if any(other != options[0] for other in options):
        raise InputError(f"the pipeline loads the image in two ways, {from_file}; expected one")
    is_float = any(step.get("to_float32", False) for step in found)
    if loader.get("to_float32"):
        loader["to_float32"] = False
    if _type_name(loader) in _FROM_MEMORY:
        loader["type"] = LOADERS[0]
    return loader, is_float


def _walk(steps: Any) -> Iterator[Any]:
    """Yield the steps of a pipeline, and those inside wrappers.

    Wrappers with a ``mapping`` (`KeyMapper`, `TransformBroadcaster`) work on other images.
    """
    if isinstance(steps, list | tuple):
        for step in steps:
            yield from _walk(step)
    elif not isinstance(steps, dict):
        yield steps
    elif "type" in steps:
        yield steps
        if "mapping" not in steps:
            yield from _walk([value for value in steps.values() if _may_hold_steps(value)])


def _drop(steps: Any, names: Sequence[str]) -> Any:
    """The same without the named steps; in test-time augmentation, without what becomes empty."""
    if isinstance(steps, list | tuple):
        return [_drop(step, names) for step in steps if _type_name(step) not in names]
    if not isinstance(steps, dict) or "mapping" in steps or not _holds(steps, names):
        return steps
    kept = {
        name: _drop([value] if isinstance(value, dict) else value, names)
        if _may_hold_steps(value) and _holds(value, names)
        else value
        for name, value in steps.items()
    }
    if _type_name(steps) == _AUGMENTED:
        kept["transforms"] = [alternatives for alternatives in kept["transforms"] if alternatives]
    return kept


def _with_meta_keys(step: Any, needed: Sequence[str]) -> Any:
    """The same step, or what it wraps, with the needed keys among the stated ``meta_keys``."""
    if isinstance(step, list | tuple):
        return [_with_meta_keys(inner, needed) for inner in step]
    if not isinstance(step, dict):
        return step
    if _is_packing(_type_name(step)) and step.get("meta_keys") is not None:
        return {**step, "meta_keys": tuple(dict.fromkeys((*step["meta_keys"], *needed)))}
    if any(_is_packing(_type_name(inner)) for inner in _walk(step)):
        return {
            name: _with_meta_keys(value, needed) if _may_hold_steps(value) else value
            for name, value in step.items()
        }
    return step


def _may_hold_steps(value: Any) -> bool:
    if isinstance(value, dict):
        return "type" in value
    return isinstance(value, list | tuple) and any(_may_hold_steps(item) for item in value)


def _holds(step: Any, names: Any) -> bool:
    return any(_type_name(inner) in names for inner in _walk(step))


def _holds_packing(step: Any) -> bool:
    return any(_is_packing(_type_name(inner)) for inner in _walk(step))


def _is_packing(name: str) -> bool:
    return name.startswith("Pack")


def _type_name(step: Any) -> str:
    kind = step.get("type") if isinstance(step, dict) else type(step)
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]


__all__ = ["LOADERS", "prepare_pipeline", "split_after_loading", "with_label_map"]
