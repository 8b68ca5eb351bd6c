"""Models of mmseg's and mmdet's configs, made fit for scoring a checkpoint of theirs."""

from __future__ import annotations

import importlib.util
from copy import deepcopy
from typing import Any

from mmengine.config import Config, ConfigDict
from torch import nn

from stl_backbones.config.walk import innermost_datasets, parts, short_name
from stl_backbones.errors import InputError
from stl_backbones.registry import SCOPE

# Where the weights come from that training starts from, and how training saves memory (which needs
# fairscale).
_FOR_TRAINING = ("init_cfg", "pretrained", "teacher_ckpt", "num_cp")
_SWITCHES = ("TIMMBackbone", "TimmBackbone")  # take `pretrained` as yes or no

# A norm over processes, which cannot be built without any -> the same norm, the same parameters.
_ALONE = {"MMSyncBN": "BN"}

# Built from the teacher's config, which training alone needs -> the same network without.
_TAUGHT = {"KnowledgeDistillationSingleStageDetector": "SingleStageDetector"}
_TEACHING = ("teacher_config", "eval_teacher")

# mmpretrain's networks that are here under the same parameter names.
STAND_INS = {
    "mmpretrain.TIMMBackbone": "mmseg.TIMMBackbone",
    "mmpretrain.ConvNeXt": f"{SCOPE}.ConvNeXt",
    "mmcls.ConvNeXt": f"{SCOPE}.ConvNeXt",
}
_PRETRAINING_LIBRARIES = ("mmpretrain", "mmcls")

# mmdet's default, from its tools/test.py.
_DETECTION_TTA = {
    "type": "DetTTAModel",
    "tta_cfg": {"nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 100},
}
_FLIPS = [{"type": "RandomFlip", "prob": 1.0}, {"type": "RandomFlip", "prob": 0.0}]
_PACKING = {"type": "PackDetInputs"}  # with all of its meta keys, the flip's too


def strip_pretrained(model: Any) -> Any:
    """A model's config without what training alone needs: weights to fetch, processes, fairscale.

    Args:
        model: The config of a model or of a part of it; not changed.

    Returns:
        The same without ``init_cfg``, ``pretrained``, ``teacher_ckpt`` and ``num_cp``, at every
        depth; where ``pretrained`` is a switch (`TIMMBackbone`), it is off. `MMSyncBN` is `BN`.
    """
    if isinstance(model, list | tuple):
        return type(model)(strip_pretrained(part) for part in model)
    if not isinstance(model, dict):
        return model
    kept = {
        name: strip_pretrained(part) for name, part in model.items() if name not in _FOR_TRAINING
    }
    if short_name(model) in _SWITCHES:
        kept["pretrained"] = False
    if short_name(model) in _ALONE:
        kept["type"] = _ALONE[short_name(model)]
    return type(model)(kept)


def scoring_model_config(config: Config) -> ConfigDict:
    """The config of the model to build for scoring a checkpoint.

    It fetches nothing, has no teacher of a distilled detector, and has the top level's
    ``data_preprocessor`` where it states none, as in mmengine's runner.

    Raises:
        ValueError: If the config has no model.
    """
    if not config.get("model"):
        raise InputError("the config has no model, so nothing to score")
    model = strip_pretrained(config.model)
    inner = model.get("module", model)  # inside test-time augmentation
    if short_name(inner) in _TAUGHT:
        inner["type"] = _TAUGHT[short_name(inner)]
        for name in _TEACHING:
            inner.pop(name, None)
    if config.get("data_preprocessor") and not inner.get("data_preprocessor"):
        inner["data_preprocessor"] = deepcopy(config.data_preprocessor)
    return model


def with_tta(config: Config) -> Config:
    """The config with test-time augmentation, as OpenMMLab's ``tools/test.py --tta`` makes it.

    mmseg's configs state ``tta_model`` and ``tta_pipeline``; detectors of mmdet that do not get
    mmdet's default, the image and its mirror image.

    Args:
        config: A config with a ``test_dataloader``; not changed.

    Raises:
        ValueError: If it states none and there is no default, or the model predicts masks, whose
            views mmdet cannot merge.
    """
    config = deepcopy(config)
    dataset = innermost_dataset(config)
    if config.get("default_scope") == "mmdet":
        if any(part.get("mask_head") for part in parts(config.model)):
            raise InputError("test-time augmentation: mmdet merges boxes only, no masks")
        config.setdefault("tta_model", deepcopy(_DETECTION_TTA))
        config.setdefault("tta_pipeline", _mirrored(dataset["pipeline"]))
    missing = [name for name in ("tta_model", "tta_pipeline") if not config.get(name)]
    if missing:
        raise InputError(f"test-time augmentation: the config has no {' and no '.join(missing)}")
    config.model = ConfigDict(**config.tta_model, module=config.model)
    dataset["pipeline"] = config.tta_pipeline
    return config


def contiguous_maps(model: nn.Module) -> None:
    """Let every RoI extractor of a detector see contiguous maps, whatever comes from the neck.

    mmcv's RoIAlign reads maps of another memory format, channels last say, in the wrong order and
    without an error (mmcv issue 2203).
    """
    for part in model.modules():
        if any(base.__name__ == "BaseRoIExtractor" for base in type(part).__mro__):
            part.register_forward_pre_hook(_make_contiguous, with_kwargs=True)


def _make_contiguous(
    part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    del part
    if "feats" in kwargs:
        return args, {**kwargs, "feats": tuple(maps.contiguous() for maps in kwargs["feats"])}
    return (tuple(maps.contiguous() for maps in args[0]), *args[1:]), kwargs


def innermost_dataset(config: Config) -> ConfigDict:
    """The settings of the test data set, inside whatever wraps it.

    Raises:
        ValueError: If there is none, or a union of several, or it has no pipeline.
    """
    datasets = list(innermost_datasets((config.get("test_dataloader") or {}).get("dataset")))
    if not datasets:
        raise InputError("the config has no test_dataloader, so nothing to score")
    dataset, *others = datasets
    if others:
        raise InputError(
            f"the test data are a union of {len(datasets)} data sets; expected one, so inherit the "
            "config with _base_ and a test_dataloader of one of them"
        )
    if not dataset.get("pipeline"):
        raise InputError(f"the test data set {dataset.get('type')} has no pipeline to load images")
    return dataset


def use_stand_ins(config: Config) -> None:
    """Replace networks of mmpretrain that are here too, where mmpretrain is not installed.

    What ``custom_imports`` names of mmpretrain is left out if nothing else of it is used.
    """
    if any(importlib.util.find_spec(library) for library in _PRETRAINING_LIBRARIES):
        return
    for part in parts(config.get("model")):
        if isinstance(part.get("type"), str):
            part["type"] = STAND_INS.get(part["type"], part["type"])
    imports = config.get("custom_imports")
    if imports and not needed_libraries(config):
        names = imports["imports"]
        names = [names] if isinstance(names, str) else names
        kept = [name for name in names if name.split(".")[0] not in _PRETRAINING_LIBRARIES]
        imports["imports"] = kept


def needed_libraries(config: Config) -> tuple[str, ...]:
    """Absent libraries that types in the config's model name: ``('mmpretrain',)``."""
    kinds = [part.get("type") for part in parts(config.get("model"))]
    scopes = {kind.split(".")[0] for kind in kinds if isinstance(kind, str) and "." in kind}
    return tuple(name for name in _PRETRAINING_LIBRARIES if name in scopes)


def _mirrored(pipeline: Any) -> list[Any]:
    steps = [deepcopy(step) for step in pipeline if not short_name(step).startswith("Pack")]
    augment = {"type": "TestTimeAug", "transforms": [deepcopy(_FLIPS), [dict(_PACKING)]]}
    return [*steps, augment]


__all__ = [
    "STAND_INS",
    "contiguous_maps",
    "innermost_dataset",
    "needed_libraries",
    "scoring_model_config",
    "strip_pretrained",
    "use_stand_ins",
    "with_tta",
]
