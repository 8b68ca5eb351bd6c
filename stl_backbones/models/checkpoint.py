"""Released and own checkpoints into a FAN, key for key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from stl_backbones.errors import InputError, some_of
from stl_backbones.models.checkpoint_files import read_checkpoint
from stl_backbones.models.state_dicts import select_state_dict, unwrapped
from stl_backbones.models.variants import VARIANTS, Variant
from stl_backbones.models.weight_values import check_values

CARD = "stl_backbones"  # the key in a checkpoint's meta of what it says of its network
HEAD_PREFIXES = ("head.", "aux_head.")
_ALWAYS = ("cls_token", "pos_embed.token_projection.weight")  # what any FAN has, and is known by


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint gave a model.

    Attributes:
        source: The file.
        matched: Keys loaded.
        missing: Keys of the model that the file lacks.
        unexpected: Keys of the file that the model lacks.
        reshaped: ``'name: (file's shape) -> (model's shape)'``; not loaded.
    """

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    def __str__(self) -> str:
        """A printed report, a line per kind."""
        lines = [f"loaded {self.source}"]
        for kind in ("matched", "missing", "unexpected", "reshaped"):
            names = getattr(self, kind)
            shown = "" if kind == "matched" or not names else f"  {some_of(names, shown=5)}"
            lines.append(f"  {kind:<10} {len(names):4d}{shown}")
        return "\n".join(lines)


def clean_state_dict(
    state_dict: Mapping[str, Tensor], model: object = None, *, ema: bool = True
) -> dict[str, Tensor]:
    """Rename the keys of any released or wrapped FAN to today's names.

    What wrapped it goes, see `stl_backbones.models.state_dicts.unwrapped`, and the heads of a
    segmentation or detection model; ``pos_embeder.`` becomes ``pos_embed.``; a class attention's
    ``qkv`` is split.

    Args:
        state_dict: Parameter name -> tensor.
        model: Unused; timm's filter functions get the model.
        ema: As for `stl_backbones.models.state_dicts.unwrapped`.
    """
    del model
    named = {k.replace("pos_embeder.", "pos_embed.", 1): v for k, v in state_dict.items()}
    return _split_qkv(unwrapped(named, _ALWAYS, ema=ema))


def load_checkpoint(model: nn.Module, path: str | Path, *, ema: bool = True) -> LoadReport:
    """Load a released or own checkpoint into a FAN.

    Args:
        model: A `stl_backbones.models.FAN`, with or without heads.
        path: The file.
        ema: Prefer the averaged weights.

    Returns:
        What matched; print it. Heads may be missing or have another number of classes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read safely, or a backbone key is missing or has another
            shape.
    """
    weights = clean_state_dict(
        select_state_dict(read_checkpoint(path), ema=ema, source=path), ema=ema
    )
    return load_weights(model, weights, source=str(path))


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> LoadReport:
    """Copy cleaned weights into a model, see `load_checkpoint`.

    Raises:
        ValueError: If a backbone key is missing or has another shape, or a value is none.
    """
    own = model.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    report = LoadReport(
        source=source,
        matched=tuple(fitting),
        missing=tuple(k for k in own if k not in weights),
        unexpected=tuple(k for k in weights if k not in own),
        reshaped=tuple(
            f"{k}: {tuple(weights[k].shape)} -> {tuple(own[k].shape)}"
            for k in own
            if k in weights and k not in fitting
        ),
    )
    backbone = [k for k in own if not k.startswith(HEAD_PREFIXES)]
    unfilled = [k for k in backbone if k not in fitting]
    if unfilled:
        raise InputError(
            f"'{source}' fits {len(backbone) - len(unfilled)} of the {len(backbone)} backbone keys "
            f"of {_title(model)}; not filled: {some_of(unfilled, shown=5)}. {_guess(weights)}"
        )
    check_values(model, fitting, source)
    model.load_state_dict(fitting, strict=False)
    return report


def infer_variant(weights: Mapping[str, Tensor]) -> tuple[Variant, bool]:
    """Find which variant cleaned weights belong to.

    Returns:
        The variant, and whether there is a token classifier.

    Raises:
        ValueError: If they are no FAN's.
    """
    if "cls_token" in weights and "pos_embed.token_projection.weight" in weights:
        dim = weights["cls_token"].shape[-1]
        depth = 1 + max(
            (int(k.split(".")[1]) for k in weights if k.startswith("blocks.")), default=-1
        )
        hybrid = "patch_embed.backbone.stem.0.weight" in weights
        found = (dim, depth, hybrid, _patch_stride(weights))
        for variant in VARIANTS.values():
            known = (variant.dim, variant.depth, variant.is_hybrid, variant.patch_stride)
            if known == found:
                return variant, "aux_head.weight" in weights
    raise InputError("the checkpoint's weights are not those of a FAN variant")


def _patch_stride(weights: Mapping[str, Tensor]) -> int:
    """Pixels between tokens, from the stem's weights."""
    first = weights.get("patch_embed.backbone.stem.0.weight")
    if first is not None:
        return 4 * int(first.shape[-1])
    convs = [k for k, v in weights.items() if k.startswith("patch_embed.proj.") and v.ndim == 4]
    return int(2 ** len(convs))


def _split_qkv(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    split: dict[str, Tensor] = {}
    for key, value in weights.items():
        if key.startswith("cls_attn_blocks.") and ".attn.qkv." in key:
            for name, rows in zip("qkv", value.chunk(3), strict=True):
                split[key.replace(".qkv.", f".{name}.")] = rows
        else:
            split[key] = value
    return split


def _title(model: nn.Module) -> str:
    variant = getattr(model, "variant", None)
    return variant.title if isinstance(variant, Variant) else type(model).__name__


def _guess(weights: Mapping[str, Tensor]) -> str:
    try:
        variant, _ = infer_variant(weights)
    except ValueError:
        return "The file is no FAN's."
    return f"The file holds a {variant.title} (arch '{variant.arch}')."


__all__ = [
    "CARD",
    "LoadReport",
    "clean_state_dict",
    "infer_variant",
    "load_checkpoint",
    "load_weights",
]
