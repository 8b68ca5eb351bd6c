"""The published FAN variants as data, and two small ones of ours.

References:
    Zhou et al. 2022, "Understanding The Robustness in Vision Transformers" (FAN), arXiv:2204.12451.
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling" (STL).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stl_backbones.errors import unknown_name


@dataclass(frozen=True)
class Variant:
    """One size of FAN.

    Attributes:
        name: The released name, without the ``_token`` ending of STL's models.
        arch: The short name for configs, for example ``'base_hybrid'``.
        title: The name in the paper's tables.
        depth: Number of FAN blocks.
        dim: Channels of a token.
        heads: Attention heads.
        stem_depths: ConvNeXt blocks in the two stages of a hybrid stem; ``None`` for the
            convolutional stem of the ViT variants.
        feature_blocks: FAN blocks whose tokens are handed out as dense maps, before the last map.
        stem_channels: Channels of the two stages of a hybrid stem.
        patch_stride: Pixels between tokens.
    """

    name: str
    arch: str
    title: str
    depth: int
    dim: int
    heads: int
    stem_depths: tuple[int, int] | None
    feature_blocks: tuple[int, ...]
    stem_channels: tuple[int, int] = (128, 256)
    patch_stride: int = 16

    @property
    def is_hybrid(self) -> bool:
        """Whether the stem is a ConvNeXt."""
        return self.stem_depths is not None


def _hybrid(
    name: str, size: str, depth: int, dim: int, heads: int, stem: tuple[int, int], tap: int
) -> Variant:
    title = f"FAN-{size[0].upper()}-Hybrid"
    return Variant(name, f"{size}_hybrid", title, depth, dim, heads, stem, (tap,))


def _vit(name: str, size: str, depth: int, dim: int, heads: int) -> Variant:
    # The paper taps no ViT variant; these follow the habit of ViT backbones: every quarter.
    quarters = tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3))
    title = f"FAN-{size[0].upper()}-ViT"
    return Variant(name, f"{size}_vit", title, depth, dim, heads, None, quarters)


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        variant.arch: variant
        for variant in (
            _hybrid("fan_tiny_8_p4_hybrid", "tiny", 8, 192, 8, (3, 3), 7),
            _hybrid("fan_small_12_p4_hybrid", "small", 10, 384, 8, (3, 3), 9),
            _hybrid("fan_base_16_p4_hybrid", "base", 16, 448, 8, (3, 3), 15),
            _hybrid("fan_large_16_p4_hybrid", "large", 22, 480, 10, (3, 5), 18),
            _vit("fan_tiny_12_p16_224", "tiny", 12, 192, 4),
            _vit("fan_small_12_p16_224", "small", 12, 384, 8),
            _vit("fan_base_18_p16_224", "base", 18, 448, 8),
            _vit("fan_large_24_p16_224", "large", 24, 480, 10),
            Variant(  # ours, for demonstrations on a CPU: in no table of the papers
                "fan_mini_4_p4_hybrid",
                "mini_hybrid",
                "FAN-mini-Hybrid",
                4,
                96,
                4,
                stem_depths=(1, 1),
                feature_blocks=(2,),
                stem_channels=(48, 96),
            ),
            Variant(  # ours, for studies with images of 32 px: 64 tokens
                "fan_mini_4_p4_32",
                "mini_vit",
                "FAN-mini-ViT",
                4,
                96,
                4,
                stem_depths=None,
                feature_blocks=(0, 1, 2),
                patch_stride=4,
            ),
        )
    }
)


def get_variant(name: str) -> Variant:
    """Look a variant up by ``arch`` (``'base_hybrid'``) or released name, ``_token`` or not.

    Raises:
        KeyError: If there is none of that name.
    """
    for variant in VARIANTS.values():
        if name.removesuffix("_token") in (variant.arch, variant.name):
            return variant
    raise unknown_name("FAN arch", name, VARIANTS)
