"""Registries of scope ``stl_backbones``; what they hold is visible from mmseg and mmdet too.

A config reaches a module as ``type='stl_backbones.FAN'`` with nothing imported, or as
``type='FAN'`` after ``custom_imports = dict(imports=['stl_backbones.transfer'])``.
"""

from __future__ import annotations

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
    """

    def _register_module(
        self, module: type, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        super()._register_module(module, module_name, force)
        self.parent._register_module(module, module_name, force)


def _shared(root: Registry, *locations: str) -> SharedRegistry:
    places = [f"{SCOPE}.{location}" for location in locations]
    return SharedRegistry(root.name, parent=root, scope=SCOPE, locations=places)


MODELS = _shared(ROOT_MODELS, "transfer", "pretraining")
DATASETS = _shared(ROOT_DATASETS, "datasets.cityscapes", "datasets.coco", "datasets.imagenet")
TRANSFORMS = _shared(ROOT_TRANSFORMS, "datasets.transforms", "datasets.two_views")
METRICS = _shared(ROOT_METRICS, "evaluation")
OPTIM_WRAPPERS = _shared(ROOT_OPTIM_WRAPPERS, "engine")
MODEL_WRAPPERS = _shared(ROOT_MODEL_WRAPPERS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _shared(ROOT_OPTIM_WRAPPER_CONSTRUCTORS, "engine")
DATA_SAMPLERS = _shared(ROOT_DATA_SAMPLERS, "engine")
HOOKS = _shared(ROOT_HOOKS, "engine")
LOOPS = _shared(ROOT_LOOPS, "engine")
