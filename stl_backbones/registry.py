"""Registries of scope ``stl_backbones``; what they hold is visible from mmseg and mmdet too.

A config reaches a module as ``type='stl_backbones.FAN'`` with nothing imported, or as
``type='FAN'`` after ``custom_imports = dict(imports=['stl_backbones.transfer'])``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mmengine.registry import DATA_SAMPLERS as ROOT_DATA_SAMPLERS
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import LOOPS as ROOT_LOOPS
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import MODEL_WRAPPERS as ROOT_MODEL_WRAPPERS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as ROOT_OPTIM_WRAPPERS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import Registry

SCOPE = "stl_backbones"


class SharedRegistry(Registry):
    """A child registry that registers in its parent as well.

    mmseg and mmdet search themselves and the root, never a sibling; without the second entry
    ``type='FAN'`` would not be found in their configs.

    Args:
        on_demand: Name -> the module that registers it, which is imported once that name is asked
            for: those of one toolbox are not imported for configs of the other.
    """

    def __init__(self, *args: Any, on_demand: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_demand = on_demand

    def get(self, key: str) -> type | None:
        """Return what is registered under a name, or ``None``."""
        if key in self._on_demand:
            import_module(self._on_demand[key])
        return super().get(key)

    def _register_module(
        self, module: type, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        super()._register_module(module, module_name, force)
        self.parent._register_module(module, module_name, force)


def _shared(root: Registry, *locations: str, **on_demand: str) -> SharedRegistry:
    places = [f"{SCOPE}.{location}" for location in locations]
    modules = {name: f"{SCOPE}.{module}" for name, module in on_demand.items()}
    return SharedRegistry(root.name, parent=root, scope=SCOPE, locations=places, on_demand=modules)


MODELS = _shared(ROOT_MODELS, "transfer", "pretraining")
DATASETS = _shared(
    ROOT_DATASETS,
    "datasets.imagenet",
    CheckedCityscapesDataset="datasets.cityscapes",
    ListedCityscapesDataset="datasets.cityscapes",
    CheckedCocoDataset="datasets.coco",
)
TRANSFORMS = _shared(ROOT_TRANSFORMS, "datasets.transforms", "datasets.two_views")
METRICS = _shared(ROOT_METRICS, "evaluation")
OPTIM_WRAPPERS = _shared(ROOT_OPTIM_WRAPPERS, "engine")
MODEL_WRAPPERS = _shared(ROOT_MODEL_WRAPPERS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _shared(ROOT_OPTIM_WRAPPER_CONSTRUCTORS, "engine")
DATA_SAMPLERS = _shared(ROOT_DATA_SAMPLERS, "engine")
HOOKS = _shared(ROOT_HOOKS, "engine")
LOOPS = _shared(ROOT_LOOPS, "engine")
