"""What a config's model does, found without building it."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from stl_backbones.config.bases import BASES
from stl_backbones.config.reading import without_import_notes
from stl_backbones.errors import InputError


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
        for (module, name), task in BASES.items():
            if base.__name__ == name and base.__module__.startswith(module):
                return task
    reason = "is not registered" if built is None else "is none of these"
    raise InputError(
        "expected a config of an mmseg segmentation model, an mmdet detector or an STL classifier; "
        f"its model '{kind}' {reason} (default_scope '{config.get('default_scope')}')"
    )


__all__ = ["task_of"]
