"""FAN and networks of the paper's other rows, on torch and timm; importing registers them."""

from stl_backbones.models import lv_vit, paper_vits, registration, rvt  # noqa: F401  timm's names
from stl_backbones.models.checkpoint import (
    LoadReport,
    clean_state_dict,
    infer_variant,
    load_checkpoint,
    load_weights,
)
from stl_backbones.models.checkpoint_files import read_checkpoint
from stl_backbones.models.fan import FAN
from stl_backbones.models.state_dicts import select_state_dict, unwrapped
from stl_backbones.models.variants import VARIANTS, Variant, get_variant

TIMM_NAMES = registration.NAMES

__all__ = [
    "FAN",
    "TIMM_NAMES",
    "VARIANTS",
    "LoadReport",
    "Variant",
    "clean_state_dict",
    "get_variant",
    "infer_variant",
    "load_checkpoint",
    "load_weights",
    "read_checkpoint",
    "select_state_dict",
    "unwrapped",
]
