"""Whether a built model and a built data set belong together; the same for train, test and sweep.

What cannot be right is refused before any work; what is only odd is a warning with numbers. Labels
are those that the data set's own pipeline hands out for a few images spread over the set.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from stl_backbones.config.labels_seen import LabelsSeen, look_at_labels
from stl_backbones.datasets.integrity import find_unlisted
from stl_backbones.datasets.label_ids import advise_labels
from stl_backbones.errors import InputError
from stl_backbones.image_files import left_out_text
from stl_backbones.metrics import IGNORE_INDEX

_SHOWN = 5
_IGNORED_SHARE = 1 / 3
_NO_ITEM = "need at least one array to concatenate"  # mmengine's data set without an image
_COCO_KEYS = ("iscrowd", "area")  # that pycocotools reads of each annotation
_HEADS = (
    "decode_head", "auxiliary_head", "bbox_head", "mask_head", "panoptic_head",
    "roi_head.bbox_head", "roi_head.mask_head",
)  # fmt: skip


def check_data(model: Any, dataset: Any, *, split: str, metrics: Sequence[Any] = ()) -> None:
    """Refuse a model and a data set that do not belong together; warn of what is odd.

    Args:
        model: The built model of mmseg or mmdet, out of wrappers that share gradients.
        dataset: The built data set, wrapped or not.
        split: What the data are for: ``'train'``, which needs the weights of losses too, ``'val'``
            or ``'test'``.
        metrics: The metrics that score it; they say which label is ignored.

    Raises:
        ValueError: If numbers of classes, names, labels, sizes or weights do not fit, or there is
            no image; all that is known of them is said.
    """
    model = getattr(model, "module", model)  # inside of test-time augmentation
    heads = dict(find_heads(model))
    if split == "train":
        _check_loss_weights(model, heads)
    for inner in innermost(dataset):
        if not len(inner):
            raise InputError(_describe_empty(inner))
        info = getattr(inner, "metainfo", None) or {}
        names = tuple(info.get("classes") or ())
        if not names:
            continue
        is_coco = hasattr(inner, "cat_ids")
        seen = None if is_coco else look_at_labels(inner, split)
        is_other = hasattr(model, "decode_head") and seen is None and not is_coco  # depth, say
        if not is_other and not hasattr(model, "language_model"):  # whose classes are a prompt's
            _check_number(heads, info, names)
        if is_coco:
            _check_categories(inner, names, split)
            is_scored = any("Panoptic" in type(metric).__name__ for metric in metrics)
            has_stuff = any(hasattr(head, "num_stuff_classes") for head in heads.values())
            if (info.get("stuff_classes") or has_stuff) and split != "train" and not is_scored:
                _warn(f"{split}: panoptic quality is not scored, things alone are")
        elif seen is not None and seen.images:
            _warn_of_unlisted(inner, split)
            ignored, contradiction = ignored_label(model, [inner], metrics)
            if contradiction:
                _warn(contradiction)
            _check_labels(seen, names, {ignored, getattr(inner, "ignore_index", ignored)}, split)


def _warn_of_unlisted(dataset: Any, split: str) -> None:
    if others := find_unlisted(dataset):
        _warn(f"{split}: {left_out_text(others)}: img_suffix is '{dataset.img_suffix}'")


def check_truth(metrics: Sequence[Any]) -> None:
    """Refuse annotations that pycocotools, in mmdet's own metric, would fail on after the test.

    Args:
        metrics: The built metrics of a run.

    Raises:
        ValueError: If an annotation lacks a key that it reads.
    """
    for metric in metrics:
        annotations = getattr(getattr(metric, "_coco_api", None), "anns", None) or {}
        for name in getattr(metric, "truth_keys", _COCO_KEYS):
            lacking = [str(number) for number, one in annotations.items() if name not in one]
            if lacking:
                raise InputError(
                    f"{len(lacking)} of the {len(annotations)} annotations that "
                    f"{type(metric).__name__} scores with have no '{name}' (id {_some(lacking)}): "
                    "add it (iscrowd 0: one object), or take stl_backbones.CocoAveragePrecision"
                )


def ignored_label(model: Any, datasets: Sequence[Any], metrics: Sequence[Any]) -> tuple[int, str]:
    """The label of pixels that do not count: the metrics' first, the data set's, then the head's.

    Args:
        model: The built model, out of any wrapper.
        datasets: Built data sets, out of any wrapper.
        metrics: Built metrics.

    Returns:
        The label, and a sentence on who states another one, empty if nobody does.
    """
    owners = {
        "the evaluator": metrics,
        "the data set": datasets,
        "the head": [head for _, head in find_heads(model)],
    }
    stated = [
        (who, label)
        for who, parts in owners.items()
        for label in dict.fromkeys(getattr(part, "ignore_index", None) for part in parts)
        if isinstance(label, int)
    ]
    first, chosen = stated[0] if stated else ("", IGNORE_INDEX)
    others = ", ".join(f"{who} {label}" for who, label in stated if label != chosen)
    return chosen, f"label {chosen} is ignored, as {first} says; {others}" if others else ""


def find_heads(model: Any) -> Iterator[tuple[str, Any]]:
    """The heads of a model of mmseg or mmdet that predict classes, by their place in it."""
    for place in _HEADS:
        found = model
        for name in place.split("."):
            found = getattr(found, name, None)
        is_list = hasattr(found, "__iter__")
        for number, head in enumerate(found if is_list else [found]):
            if isinstance(getattr(head, "num_classes", None), int):
                yield (f"{place}.{number}" if is_list else place), head


def innermost(dataset: Any) -> Iterator[Any]:
    """The data sets inside whatever repeats, mixes or joins them."""
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inner == [None]:
        yield dataset
    else:
        for part in inner:
            yield from innermost(part)


@contextmanager
def naming_empty_data() -> Iterator[None]:
    """Say of a data set without an image where it looked, while it is built.

    Raises:
        ValueError: Instead of mmengine's, which is numpy's.
    """
    try:
        yield
    except ValueError as error:
        step = error.__traceback__
        found: Any = None
        while step is not None:
            if step.tb_frame.f_code.co_name == "_serialize_data":
                found = step.tb_frame.f_locals.get("self")
            step = step.tb_next
        if found is None or _NO_ITEM not in str(error):
            raise
        raise InputError(_describe_empty(found)) from error


def _describe_empty(dataset: Any) -> str:
    """Where a data set without an image looked, for what, and what lies there."""
    prefix = getattr(dataset, "data_prefix", None) or {}
    folder = next((Path(str(prefix[name])) for name in ("img_path", "img") if prefix.get(name)), "")
    listed = str(getattr(dataset, "ann_file", "") or "")
    if Path(listed).is_file():
        if hasattr(dataset, "cat_ids"):  # names that are no category's leave no annotation
            _check_categories(dataset, tuple(dataset.metainfo.get("classes") or ()), "train")
        return (
            f"the data set is empty: '{listed}' lists no image that passes "
            f"filter_cfg={getattr(dataset, 'filter_cfg', None)}"
        )
    found: Counter[str] = Counter()
    for path in Path(folder).rglob("*") if folder else ():
        found[path.suffix or path.name] += path.is_file()
    there = ", ".join(f"{count} {suffix}" for suffix, count in found.most_common(_SHOWN) if count)
    suffix = getattr(dataset, "img_suffix", "")
    return f"the data set is empty: no '*{suffix}' file in '{folder}', where lie: {there or 'none'}"


def _check_number(heads: dict[str, Any], info: Mapping[str, Any], names: Sequence[str]) -> None:
    """The heads' numbers of classes; things alone for boxes and masks of panoptic data."""
    parts = (info.get("thing_classes"), info.get("stuff_classes"))
    allowed = {len(names), *(len(part) for part in parts if part)}
    for place, head in heads.items():
        found = head.num_classes
        if hasattr(head, "loss_decode") and found == 1 and len(names) == 2:
            _warn(
                f"{place} has one class, the data set two ({_some(names)}): what exceeds the "
                f"threshold {getattr(head, 'threshold', None)} counts as '{names[1]}'"
            )
        elif not allowed & _numbers(head) and not _has_other_labels(place, head):
            raise InputError(
                f"the model has {found} classes ({place}), the data set {len(names)}: "
                f"{_some(names)}; --cfg-options classes=\"('a','b')\" or num_classes=K moves both"
            )


def _numbers(head: Any) -> set[int]:
    """How many classes a head may be said to have: a panoptic one's things alone, too."""
    return {head.num_classes, getattr(head, "num_things_classes", head.num_classes)}


def _has_other_labels(place: str, head: Any) -> bool:
    """Whether an auxiliary head learns something that it makes of the labels, edges say."""
    loss = getattr(type(head), "loss_by_feat", None)
    own = loss is not None and not loss.__qualname__.startswith("BaseDecodeHead.")
    return place.startswith("auxiliary_head") and own


def _check_categories(dataset: Any, names: Sequence[str], split: str) -> None:
    """Whether every class is a category of the COCO file, and which one never occurs."""
    if len(dataset.cat_ids) != len(names) and Path(str(dataset.ann_file)).is_file():
        content = json.loads(Path(dataset.ann_file).read_text(encoding="utf-8"))
        known = [str(category.get("name")) for category in content.get("categories", ())]
        by_case = {name.casefold(): name for name in known}
        lacking = []
        for name in [name for name in names if name not in known][:_SHOWN]:
            near = [by_case.get(name.casefold()), *difflib.get_close_matches(name, known, n=1)]
            hint = next((f" (it has '{other}')" for other in near if other), "")
            lacking.append(f"'{name}'{hint}")
        reason = f"no category {', '.join(lacking)}" if lacking else "a category's name twice"
        raise InputError(
            f"'{dataset.ann_file}' has {reason}: {len(dataset.cat_ids)} of its {len(known)} "
            f"categories match the data set's {len(names)} classes; it has {_some(known)}"
        )
    images = getattr(dataset, "cat_img_map", None)
    if images is not None and len(dataset.cat_ids) == len(names):
        pairs = zip(names, dataset.cat_ids, strict=True)
        absent = [name for name, number in pairs if not images.get(number)]
        if absent:
            _warn(f"{split}: {len(absent)} of {len(names)} classes never occur: {_some(absent)}")


def _check_labels(seen: LabelsSeen, names: Sequence[str], ignored: set[int], split: str) -> None:
    for wrong in seen.wrong_sizes[:1]:
        raise InputError(wrong)
    unknown = {
        label: path
        for label, path in seen.first_file.items()
        if not 0 <= label < len(names) and label not in ignored
    }
    if unknown:
        raise InputError(
            f"'{next(iter(unknown.values()))}' holds labels that are no class: expected "
            f"0..{len(names) - 1} or {_some(sorted(ignored))} (ignored), got {_some(unknown)}"
            f"{advise_labels(unknown, len(names))}"
        )
    where = f"{split}: in {seen.images} of {seen.of} images looked at"
    share = sum(seen.pixels[label] for label in ignored) / max(seen.pixels.total(), 1)
    if share == 1 and split != "train":
        raise InputError(
            f"{where}, all pixels are ignored ({_some(sorted(ignored))}), so nothing is scored; "
            f"'{next(iter(seen.first_file.values()))}' is one: are these the label maps, and are "
            "those of this split public?"
        )
    if share > _IGNORED_SHARE:
        _warn(f"{where}, {share:.0%} of all pixels are ignored ({_some(sorted(ignored))})")
    absent = [name for label, name in enumerate(names) if not seen.pixels[label]]
    # A few images of a large set need not hold every class.
    if absent and (seen.images == seen.of or len(absent) > len(names) / 2):
        _warn(f"{where}, {len(absent)} of {len(names)} classes do not occur: {_some(absent)}")


def _check_loss_weights(model: Any, heads: dict[str, Any]) -> None:
    for place, part in model.named_modules():
        head = next((heads[name] for name in heads if place.startswith(f"{name}.")), None)
        found = _length(getattr(part, "class_weight", None))
        if head is None or found is None:
            continue
        count = _channels(head)
        # Beside mmseg's pixel by pixel losses, heads have a weight of "no object" too, or not.
        if found not in ((count,) if hasattr(head, "loss_decode") else (count, count + 1)):
            raise InputError(f"{place}: class_weight holds {found} weights for {count} classes")
    stages: Any = getattr(model, "roi_head", None)
    found = _length(getattr(stages, "stage_loss_weights", None))
    if found is not None and found != stages.num_stages:
        raise InputError(
            f"roi_head: stage_loss_weights holds {found} weights for {stages.num_stages} stages"
        )


def _channels(head: Any) -> int:
    """Classes that a head's last layer predicts: 1 of a binary one."""
    channels = getattr(head, "out_channels", None) if hasattr(head, "loss_decode") else None
    return channels if isinstance(channels, int) else head.num_classes


def _length(weights: Any) -> int | None:
    """Of a list, an array or a tensor of weights; ``None`` of what is none of these."""
    is_list = isinstance(weights, list | tuple) or len(getattr(weights, "shape", ())) == 1
    return len(weights) if is_list else None


def _some(names: Any) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:_SHOWN]) + (f", ... ({len(shown)})" if len(shown) > _SHOWN else "")


def _warn(message: str) -> None:
    print_log(message, logger="current", level=logging.WARNING)


__all__ = [
    "check_data",
    "check_truth",
    "find_heads",
    "ignored_label",
    "innermost",
    "naming_empty_data",
]
