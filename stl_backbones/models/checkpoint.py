"""Released and own checkpoints into a FAN, key for key, without running pickled code unasked."""

from __future__ import annotations

import pickle
import re
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from stl_backbones.errors import InputError, MissingFileError, some_of
from stl_backbones.models.safe_types import trusting_only
from stl_backbones.models.variants import VARIANTS, Variant
from stl_backbones.models.weight_values import check_values

CARD = "stl_backbones"  # the key in a checkpoint's meta of what it says of its network
HEAD_PREFIXES = ("head.", "aux_head.")
_WRAPPERS = ("module.", "_orig_mod.")
# What torch raises on bytes that are no checkpoint, by where it stumbles.
_DAMAGE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError,
    AssertionError, OverflowError, MemoryError, struct.error,
)  # fmt: skip


TRUST_OPTION = "--trust-checkpoint"
_LATER_PROTOCOL = "of protocol 4 or 5, which only running it can read"
_ZIP_MAGIC = b"PK\x03\x04"
_trusted = False  # by `trust_checkpoints` alone: no file and no environment variable may set it


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


def trust_checkpoints(trusted: bool = True) -> None:
    """Let this process run the pickled code of the checkpoints that it reads, or no longer.

    Only for files whose maker the user trusts: `stl_backbones.cli.tool.add_trust_checkpoint`.
    """
    global _trusted
    _trusted = trusted


def are_checkpoints_trusted() -> bool:
    """Whether `trust_checkpoints` was called."""
    return _trusted


def read_checkpoint(path: str | Path, *, map_location: Any = "cpu") -> Any:
    """Read a file with ``weights_only``; nothing in it is executed, see `trust_checkpoints`.

    A file named ``.safetensors`` is read as that: a state dict and nothing else.

    Args:
        path: The file.
        map_location: Where its tensors go, as for `torch.load`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds anything but tensors and plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"checkpoint '{path}' does not exist")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        _refuse_archives(path)
        with trusting_only():
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if _trusted:
            return _unpickle(path, map_location)
        found = re.search(r"GLOBAL ([\w.]+)|(operand 1[45]\d)", str(error))
        if found is None:
            raise InputError(f"checkpoint '{path}' is truncated or no checkpoint") from error
        raise InputError(
            f"checkpoint '{path}' holds pickled code ({found[1] or _LATER_PROTOCOL}) beside "
            "tensors and plain data; refused, since loading it would run it; if you trust its "
            f"maker, give {TRUST_OPTION}"
        ) from error
    except _DAMAGE as error:
        raise InputError(f"checkpoint '{path}' is truncated or no checkpoint: {error}") from error


def _unpickle(path: Path, map_location: Any) -> Any:
    """Read a file of pickled code: the one place where it is run."""
    try:
        return torch.load(path, map_location=map_location, weights_only=False)
    except (pickle.UnpicklingError, ImportError, *_DAMAGE) as error:
        raise InputError(f"checkpoint '{path}' cannot be unpickled: {error}") from error


def _refuse_archives(path: Path) -> None:
    """Refuse TorchScript and tar archives, of which torch below 2.6 runs code all the same.

    Raises:
        ValueError: If the file is one.
        RuntimeError: If it is a damaged zip file.
    """
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
    if is_zip and "constants.pkl" in torch._C.PyTorchFileReader(str(path)).get_all_records():
        raise InputError("a TorchScript archive holds a program; expected a state dict")
    if not is_zip and tarfile.is_tarfile(path):
        raise InputError("a tar archive; expected a state dict that torch.save wrote")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, *_DAMAGE) as error:
        raise InputError(f"checkpoint '{path}' is truncated or no safetensors: {error}") from error


def select_state_dict(checkpoint: Any, *, ema: bool = True) -> dict[str, Tensor]:
    """Pick the weights out of a checkpoint.

    Args:
        checkpoint: A state dict, or a dict holding one as ``state_dict_ema``, ``state_dict`` or
            ``model``.
        ema: Prefer the averaged weights, which the paper reports.

    Raises:
        ValueError: If it holds no weights.
    """
    names = ("state_dict_ema", "model_ema") if ema else ()
    if isinstance(checkpoint, Mapping):
        for name in (*names, "state_dict", "model"):
            if isinstance(checkpoint.get(name), Mapping) and checkpoint[name]:
                checkpoint = checkpoint[name]
                break
        named = {k: v for k, v in checkpoint.items() if isinstance(k, str)}
        weights = {k: v for k, v in named.items() if isinstance(v, Tensor)}
        if weights:
            return weights
    raise InputError("the checkpoint holds no weights: expected a state dict of tensors")


def clean_state_dict(state_dict: Mapping[str, Tensor], model: object = None) -> dict[str, Tensor]:
    """Rename the keys of any released or wrapped FAN to today's names.

    Wrapper prefixes go, and ``backbone.`` of a segmentation or detection model together with its
    heads; ``pos_embeder.`` becomes ``pos_embed.``; a class attention's ``qkv`` is split.

    Args:
        state_dict: Parameter name -> tensor.
        model: Unused; timm's filter functions get the model.
    """
    del model
    renamed: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        name = key
        while name.startswith(_WRAPPERS):
            name = name.partition(".")[2]
        renamed[name.replace("pos_embeder.", "pos_embed.", 1)] = value
    if "backbone.cls_token" in renamed:
        renamed = {
            name.removeprefix("backbone."): value
            for name, value in renamed.items()
            if name.startswith("backbone.")
        }
    return _split_qkv(renamed)


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
    weights = clean_state_dict(select_state_dict(read_checkpoint(path), ema=ema))
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
    """Tell which variant cleaned weights belong to.

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
        for variant in VARIANTS.values():
            if (variant.dim, variant.depth, variant.is_hybrid) == (dim, depth, hybrid):
                return variant, "aux_head.weight" in weights
    raise InputError("the checkpoint's weights are not those of a FAN variant")


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
    "TRUST_OPTION",
    "LoadReport",
    "are_checkpoints_trusted",
    "clean_state_dict",
    "infer_variant",
    "load_checkpoint",
    "load_weights",
    "read_checkpoint",
    "select_state_dict",
    "trust_checkpoints",
]
