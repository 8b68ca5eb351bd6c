"""What a config's model does, found without building it."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from stl_backbones.config.reading import without_import_notes
from stl_backbones.errors import InputError
from stl_backbones.evaluation.detection import KINDS

# Base class, as module and name -> task. The libraries are imported by the configs that need them.
_BASES = {
    ("stl_backbones.pretraining", "STLClassifier"): "classification",
    ("mmseg", "BaseSegmentor"): "segmentation",
    ("mmdet", "BaseDetector"): "detection",
}


def task_of(config: Config) -> str:
    """The task of a config's model: ``'classification'``, ``'segmentation'`` or ``'detection'``.

    Raises:
        ValueError: If it is another one, or the model's type is unknown.
    """
    settings: Any = config.get("model") or {}
    if not settings:
        raise InputError(f"expected a config with a model, got one with model = {settings!r}")
    while settings.get("type") and "module" in settings:  # test-time augmentation wraps a model
        settings = settings["module"]
    kind = settings.get("type")
    init_default_scope(config.get("default_scope", "mmengine"))
    with without_import_notes(), MODELS.switch_scope_and_registry(None) as registry:
        built = kind if isinstance(kind, type) else registry.get(str(kind))
    for base in getattr(built, "__mro__", ()):
        for (module, name), task in _BASES.items():
            if base.__name__ == name and base.__module__.startswith(module):
                return task
    reason = "is not registered" if built is None else "is none of these"
    raise InputError(
        "expected a config of an mmseg segmentation model, an mmdet detector or an STL classifier; "
        f"its model '{kind}' {reason} (default_scope '{config.get('default_scope')}')"
    )


def scored_kinds(config: Config) -> tuple[str, ...]:
    """What a detector's config asks its test evaluator for: boxes, masks or both.

    Returns:
        ``'bbox'`` and ``'segm'``, in this order; both where our own evaluator is asked for nothing
        else, boxes alone where no evaluator says.

    Raises:
        ValueError: If it asks for neither.
    """
    evaluators: Any = config.get("test_evaluator") or []
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        own = str(evaluator.get("type")).endswith("CocoAveragePrecision")
        asked = evaluator.get("metric", KINDS if own else "bbox")
        listed = [asked] if isinstance(asked, str) else asked
        kinds = tuple(kind for kind in KINDS if kind in listed)
        if kinds:
            return kinds
    if evaluators:
        raise InputError(
            f"the config's test_evaluator asks for none of {', '.join(KINDS)}, but for "
            f"'{asked}'; choose "
            "--cfg-options test_evaluator.metric=bbox"
        )
    return ("bbox",)


__all__ = ["scored_kinds", "task_of"]
