"""timm entry points under the released names, for example ``fan_base_16_p4_hybrid_token``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from stl_backbones.errors import InputError
from stl_backbones.models.checkpoint import clean_state_dict
from stl_backbones.models.fan import FAN
from stl_backbones.models.variants import VARIANTS, Variant

__all__: list[str] = []  # register_model adds the names

RELEASED = (  # as the papers say
    "NVIDIA releases FAN's at https://github.com/NVlabs/FAN and STL's at "
    "https://github.com/NVlabs/STL; stl_backbones.models.load_checkpoint(model, FILE) loads them"
)
NAMES = tuple(
    f"{variant.name}{suffix}" for variant in VARIANTS.values() for suffix in ("", "_token")
)


def _config(name: str) -> dict[str, object]:
    hybrid = "hybrid" in name
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": None,
        "fixed_input_size": False,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "patch_embed.backbone.stem.0" if hybrid else "patch_embed.proj.0.0",
        "classifier": ("head", "aux_head") if name.endswith("_token") else "head",
    }


default_cfgs = generate_default_cfgs({name: _config(name) for name in NAMES})


def _brings_weights(arguments: Mapping[str, Any]) -> bool:
    """Whether the caller of timm's ``create_model(pretrained=True)`` says where they are."""
    stated = (arguments.get("pretrained_cfg"), arguments.get("pretrained_cfg_overlay"))
    configs = (c if isinstance(c, Mapping) else getattr(c, "__dict__", {}) for c in stated)
    return any(c.get(key) for c in configs for key in ("state_dict", "file", "url", "hf_hub_id"))


def _entry_point(name: str, variant: Variant) -> Callable[..., FAN]:
    def create(pretrained: bool = False, **kwargs: Any) -> FAN:
        if pretrained and not _brings_weights(kwargs):
            raise InputError(f"timm fetches no weights of '{name}': {RELEASED}")
        return build_model_with_cfg(
            partial(FAN, variant),
            name,
            pretrained,
            feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"},
            pretrained_filter_fn=clean_state_dict,
            token_head=name.endswith("_token"),
            **kwargs,
        )

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"{variant.title}{', with token classifier' if '_token' in name else ''}."
    return create


for _variant in VARIANTS.values():
    for _name in (_variant.name, f"{_variant.name}_token"):
        globals()[_name] = register_model(_entry_point(_name, _variant))
