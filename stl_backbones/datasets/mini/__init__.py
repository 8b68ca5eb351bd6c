"""Generated street scenes: a small data set that needs no download.

Every picture is a function of a seed and a number. The scenes are drawn, far to near, in the
perspective of a camera in a street; the same drawing gives picture, labels and instance masks.
"""

from stl_backbones.datasets.mini.generate import (
    CROP_CLASSES,
    GENERATOR_VERSION,
    VAL_OFFSET,
    write_mini_data,
)
from stl_backbones.datasets.mini.writers import COCO_CATEGORIES, TO_COCO
from stl_backbones.datasets.street_scenes.scene import (
    Crop,
    Instance,
    Scene,
    render_object,
    render_scene,
)

__all__ = [
    "COCO_CATEGORIES",
    "CROP_CLASSES",
    "GENERATOR_VERSION",
    "TO_COCO",
    "VAL_OFFSET",
    "Crop",
    "Instance",
    "Scene",
    "render_object",
    "render_scene",
    "write_mini_data",
]
