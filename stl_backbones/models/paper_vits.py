"""ViT-B/16 as two rows of Table 3 have it: timm's network, prepared as their authors' files need.

References:
    He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", arXiv:2111.06377.
    Mao et al. 2022, "Enhance the Visual Representation via Discrete Adversarial Training" (DAT),
    arXiv:2209.07735.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

__all__: list[str] = []  # register_model adds the names

# MAE's fine-tuning classifies the mean of the patch tokens; DAT's network is the plain one.
_POOLS = {"mae_vit_base_patch16_224": "avg", "dat_vit_base_patch16_224": "token"}
# Neither is normalised as timm's own ViT-B/16 weights are (mean and deviation 0.5).
_CONFIG: dict[str, object] = {
    "url": "",
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "pool_size": None,
    "fixed_input_size": True,
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
    "first_conv": "patch_embed.proj",
    "classifier": "head",
}
default_cfgs = generate_default_cfgs(dict.fromkeys(_POOLS, _CONFIG))


def _entry_point(name: str, pool: str) -> Callable[..., VisionTransformer]:
    def create(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
        base = {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12}
        return build_model_with_cfg(
            VisionTransformer,
            name,
            pretrained,
            pretrained_filter_fn=checkpoint_filter_fn,
            **{**base, "global_pool": pool, **kwargs},
        )

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"ViT-B/16 that classifies by '{pool}' pooling."
    return create


for _name, _pool in _POOLS.items():
    globals()[_name] = register_model(_entry_point(_name, _pool))
