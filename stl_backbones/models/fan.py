"""The Fully Attentional Network: classifier, token classifier and dense backbone in one class.

Written from the published formulas; parameter names are those of the released checkpoints.

References:
    Zhou et al. 2022, "Understanding The Robustness in Vision Transformers" (FAN), arXiv:2204.12451.
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling" (STL).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from timm.models._features import feature_take_indices
from timm.models._manipulate import checkpoint
from timm.models.xcit import ClassAttentionBlock
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stl_backbones.errors import InputError
from stl_backbones.models.layers import NORM_EPS, FANBlock
from stl_backbones.models.positions import GridPositions
from stl_backbones.models.stem import ConvStem, HybridStem
from stl_backbones.models.variants import Variant

MIN_SIDE = 32
CLASS_BLOCKS = 2
POOLS = ("token", "avg", "")

# torch 2.11 does, and 2.5 writes them in backward once more; between the two was not tried.
_COMPILED_GRAPHS_WRITE_ONCE = torch.__version__ >= (2, 11)
_uncompiled_checkpoint = torch.compiler.disable(checkpoint)


class FAN(nn.Module):
    """A FAN of any published size.

    Any input of at least 32x32 is taken: sides that are no multiple of the variant's
    ``patch_stride`` (16 in all published ones) are padded with zeros at the bottom and the right,
    and dense maps are cropped back.

    Args:
        variant: The size, from `stl_backbones.models.variants.VARIANTS`.
        num_classes: Classes K of the heads; 0 for none.
        in_chans: Channels of the image.
        token_head: Add STL's token classifier, ``aux_head``.
        drop_rate: Dropout before the class head.
        drop_path_rate: Chance to drop a residual branch, the same in every FAN block.
        released_norm: Stem norms as the released weights need them (unbiased variance); turn it off
            only for a network trained from scratch.
        feature_blocks: FAN blocks whose tokens become dense maps; default: the variant's.
        global_pool: ``'token'`` classifies the class token, ``'avg'`` the mean of the patch tokens,
            ``''`` hands all tokens to the head.
        img_size: As timm's transformers take it; any size is taken later on, too.

    Raises:
        ValueError: If ``img_size``, ``feature_blocks`` or ``global_pool`` are none of these.
    """

    def __init__(
        self,
        variant: Variant,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        token_head: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        released_norm: bool = True,
        feature_blocks: Sequence[int] | None = None,
        global_pool: str = "token",
        img_size: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if img_size is not None:
            _check_sides(*((img_size, img_size) if isinstance(img_size, int) else img_size))
        self.variant = variant
        self.in_chans = in_chans
        self.embed_dim = self.num_features = self.head_hidden_size = variant.dim
        self.num_prefix_tokens = 1
        self.grad_checkpointing = False
        self.feature_blocks = _check_blocks(feature_blocks or variant.feature_blocks, variant)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, variant.dim))
        self.patch_embed = _make_stem(variant, in_chans, released_norm=released_norm)
        self.pos_embed = GridPositions(dim=variant.dim)
        self.blocks = nn.ModuleList(
            FANBlock(variant.dim, variant.heads, drop_path=drop_path_rate)
            for _ in range(variant.depth)
        )
        self.cls_attn_blocks = nn.ModuleList(
            ClassAttentionBlock(
                variant.dim,
                variant.heads,
                qkv_bias=True,
                eta=1.0,
                tokens_norm=True,
                norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),  # type: ignore[arg-type]
            )
            for _ in range(CLASS_BLOCKS)
        )
        self.norm: nn.Module = nn.LayerNorm(variant.dim, eps=NORM_EPS)
        self.head_drop = nn.Dropout(drop_rate)
        self.token_head = token_head
        self._initialise()
        # Last, so that equal seeds give equal trunks and class heads with and without a token head.
        self._make_heads(num_classes, global_pool)
        self.feature_info = self._describe_features()

    # ---------------------------------------------------------------- classification

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Classify images.

        Args:
            x: ``(B, 3, H, W)`` normalised images, H and W at least 32.

        Returns:
            Class logits ``(B, K)``; with a token head also token logits ``(B, N, K)``.
        """
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images ``(B, 3, H, W)`` to normalised tokens ``(B, 1 + N, C)``, class token first."""
        tokens, grid, _ = self._embed(x)
        for block in self.blocks:
            tokens = self._run(block, tokens, *grid)
        tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        for block in self.cls_attn_blocks:
            tokens = self._run(block, tokens)
        return self.norm(tokens)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Map tokens ``(B, 1 + N, C)`` to logits, or to the pooled feature ``(B, C)``."""
        patches = x[:, self.num_prefix_tokens :]
        pooled = {"token": lambda: x[:, 0], "avg": lambda: patches.mean(dim=1), "": lambda: x}
        feature = self.head_drop(pooled[self.global_pool]())
        if pre_logits:
            return feature
        logits = self.head(feature)
        return logits if self.aux_head is None else (logits, self.aux_head(patches))

    def token_grid(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of the tokens of images ``(B, 3, H, W)``."""
        stride, (height, width) = self.variant.patch_stride, images.shape[-2:]
        return -(-height // stride), -(-width // stride)

    # ---------------------------------------------------------------- dense maps

    def forward_dense(self, x: Tensor, indices: Sequence[int] | None = None) -> list[Tensor]:
        """Dense maps for segmentation and detection.

        Hybrid variants give four: stem stages at stride 4 and 8, the tokens of the tap block and
        the last patch tokens, both at stride 16. ViT variants give four token maps at stride 16.
        Another ``patch_stride`` scales all four strides.

        Args:
            x: ``(B, 3, H, W)`` normalised images, H and W at least 32.
            indices: Which maps; default all.

        Returns:
            Maps ``(B, C_i, ceil(H / s_i), ceil(W / s_i))``.
        """
        height, width = x.shape[-2:]
        tokens, grid, maps = self._embed(x)
        for index, block in enumerate(self.blocks):
            tokens = self._run(block, tokens, *grid)
            if index in self.feature_blocks:
                maps.append(_to_map(tokens, grid))
        for block in self.cls_attn_blocks:
            tokens = _refine_patches(block, tokens)
        maps.append(_to_map(tokens, grid))
        chosen = range(len(maps)) if indices is None else indices
        reductions = [info["reduction"] for info in self.feature_info]
        return [
            maps[i][..., : math.ceil(height / reductions[i]), : math.ceil(width / reductions[i])]
            for i in chosen
        ]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,  # noqa: ARG002  timm's signature
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Timm's call for dense maps, see `forward_dense`.

        Raises:
            ValueError: If ``norm`` is asked for, or a format other than NCHW: the maps have
                different channels and sizes.
        """
        if norm or output_fmt != "NCHW":
            raise InputError(f"expected norm=False, output_fmt='NCHW', got {norm}, '{output_fmt}'")
        take, _ = feature_take_indices(len(self.feature_info), indices)
        maps = self.forward_dense(x, take)
        return maps if intermediates_only else (self.forward_features(x), maps)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop what no dense map needs; called by timm's ``features_only``."""
        take, _ = feature_take_indices(len(self.feature_info), indices)
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0)
            self.freeze_class_path()
        return take

    def class_path_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that change the class token alone: no dense map depends on them."""
        yield self.cls_token
        yield from self.norm.parameters()
        for block in self.cls_attn_blocks:
            yield from block.attn.parameters()
            yield from block.mlp.parameters()
            yield cast("nn.Parameter", block.gamma2)

    def freeze_class_path(self) -> None:
        """Stop gradients of `class_path_parameters`, so that DDP does not wait for them."""
        for parameter in self.class_path_parameters():
            parameter.requires_grad_(False)

    # ---------------------------------------------------------------- timm's interface

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Parameters beyond biases and norms that get no weight decay."""
        return {"cls_token"}

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, object]:  # noqa: ARG002
        """Layer groups, for layer-wise learning rates."""
        return {
            "stem": r"^cls_token|pos_embed|patch_embed",
            "blocks": r"^blocks\.(\d+)",
            "cls_attn_blocks": [(r"^cls_attn_blocks\.(\d+)", None), (r"^norm", (99999,))],
        }

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass: less memory, more time."""
        self.grad_checkpointing = enable
        self.patch_embed.set_grad_checkpointing(enable)

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """The class head."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the heads; 0 classes removes them."""
        self._make_heads(num_classes, self.global_pool if global_pool is None else global_pool)

    # ---------------------------------------------------------------- inside

    def _make_heads(self, num_classes: int, global_pool: str) -> None:
        if global_pool not in POOLS:
            raise InputError(f"global_pool must be one of {POOLS}, got '{global_pool}'")
        self.num_classes = num_classes
        self.global_pool = global_pool
        self.head = self._linear(num_classes) if num_classes else nn.Identity()
        self.aux_head = self._linear(num_classes) if self.token_head and num_classes else None

    def _linear(self, num_classes: int) -> nn.Linear:
        place: dict[str, Any] = {"device": self.cls_token.device, "dtype": self.cls_token.dtype}
        head = nn.Linear(self.embed_dim, num_classes, **place)
        _initialise_module(head, "head")
        return head.train(self.training)

    def _describe_features(self) -> list[dict[str, object]]:
        stride = self.variant.patch_stride
        stages = (
            zip(self.variant.stem_channels, (stride // 4, stride // 2), strict=True)
            if self.variant.is_hybrid
            else ()
        )
        stem = [
            {
                "num_chs": channels,
                "reduction": reduction,
                "module": f"patch_embed.backbone.stages.{stage}",
            }
            for stage, (channels, reduction) in enumerate(stages)
        ]
        names = [f"blocks.{i}" for i in self.feature_blocks]
        names.append(f"cls_attn_blocks.{CLASS_BLOCKS - 1}")
        tokens = [
            {"num_chs": self.embed_dim, "reduction": stride, "module": name} for name in names
        ]
        return [*stem, *tokens]

    def _initialise(self) -> None:
        trunc_normal_(self.cls_token, std=0.02)
        for name, module in self.named_modules():
            _initialise_module(module, name)

    def _embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int], list[Tensor]]:
        """Pad, run the stem and add positions: tokens (B, N, C), grid (H, W), stem maps."""
        height, width = x.shape[-2:]
        _check_sides(height, width)
        stride = self.variant.patch_stride
        x = F.pad(x, (0, -width % stride, 0, -height % stride))
        # The stem's norms and 1x1 convolutions, and the tokens, want the channels last.
        x = x.contiguous(memory_format=torch.channels_last)
        grid_map, maps = self.patch_embed(x)
        grid_map = grid_map + self.pos_embed(1, *grid_map.shape[-2:])
        return grid_map.flatten(2).transpose(1, 2), tuple(grid_map.shape[-2:]), maps

    def _run(self, block: nn.Module, tokens: Tensor, *grid: int) -> Tensor:
        if self.grad_checkpointing and torch.is_grad_enabled():
            # A compiled graph writes BatchNorm's statistics once, and takes no such contexts.
            if torch.compiler.is_compiling() and _COMPILED_GRAPHS_WRITE_ONCE:
                return checkpoint(block, tokens, *grid)
            recomputing = partial(_recomputing, block)
            return _uncompiled_checkpoint(block, tokens, *grid, context_fn=recomputing)
        return block(tokens, *grid)


def _check_sides(height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise InputError(f"image sides must be at least {MIN_SIDE}, got {height}x{width}")


def _recomputing(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Contexts of a checkpointed block's two forward passes, for torch's ``context_fn``."""
    return nullcontext(), _without_statistics(block)


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers count a batch once, although it runs through them twice."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.training and norm.num_batches_tracked is not None:
                norm.num_batches_tracked -= 1


def _make_stem(variant: Variant, in_chans: int, *, released_norm: bool) -> nn.Module:
    if variant.stem_depths is None:
        return ConvStem(variant.dim, in_chans=in_chans, patch_stride=variant.patch_stride)
    return HybridStem(
        variant.dim,
        variant.stem_channels,
        variant.stem_depths,
        in_chans=in_chans,
        released_norm=released_norm,
        patch_stride=variant.patch_stride,
    )


def _check_blocks(blocks: Sequence[int], variant: Variant) -> tuple[int, ...]:
    count = len(variant.feature_blocks)
    ordered = tuple(sorted(set(blocks)))
    if len(ordered) != count or not 0 <= ordered[0] <= ordered[-1] < variant.depth:
        raise InputError(
            f"feature_blocks of {variant.arch} must be {count} different block(s) in "
            f"0..{variant.depth - 1}, got {list(blocks)}"
        )
    return ordered


def _to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens (B, N, C) as a map (B, C, H, W), a view."""
    return tokens.transpose(1, 2).unflatten(2, grid)


def _refine_patches(block: nn.Module, patches: Tensor) -> Tensor:
    """What a class attention block does to patch tokens: they never see the class token."""
    patches = patches + block.drop_path1(block.gamma1 * block.norm1(patches))
    patches = block.norm2(patches)
    return patches + block.drop_path2(patches)  # twice the normalised value, as released


def _initialise_module(module: nn.Module, name: str) -> None:
    if isinstance(module, nn.Conv2d) and "dwconv" in name:
        taps = module.kernel_size[0] * module.kernel_size[1]
        fan_out = taps * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
    elif isinstance(module, nn.Linear) or (
        isinstance(module, nn.Conv2d) and "patch_embed.backbone" in name
    ):
        trunc_normal_(module.weight, std=0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
