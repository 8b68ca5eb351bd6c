"""``--amp`` and ``--tf32``: the numbers that models compute in, the same in all tools.

bfloat16 runs everywhere and needs no loss scaling; float16 needs a GPU. Of a detector backbone and
neck alone are in it when it predicts: boxes need more digits, and so does mmcv's NMS. What a GPU
computes in float32 is scored in float32, without TF32, unless asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from stl_backbones.errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

PRECISIONS = ("bfloat16", "float16")


def check_precision(amp: str) -> torch.dtype:
    """The data type of ``--amp``.

    Raises:
        ValueError: If it is unknown, or float16 without a GPU.
    """
    if amp not in PRECISIONS:
        raise InputError(f"--amp must be one of {', '.join(PRECISIONS)}, got '{amp}'")
    if amp == "float16" and not torch.cuda.is_available():
        raise InputError("--amp float16 needs a GPU; take --amp bfloat16 on the CPU")
    return torch.bfloat16 if amp == "bfloat16" else torch.float16


def train_in(config: Config, amp: str | None) -> None:
    """Have a config's optimizer work in mixed precision; ``None`` leaves it as it is.

    Raises:
        ValueError: See `check_precision`.
    """
    if amp is None:
        return
    if check_precision(amp) == torch.bfloat16:
        config.optim_wrapper.type = "stl_backbones.BFloat16OptimWrapper"
        for name in ("loss_scale", "dtype", "use_fsdp"):  # of mmengine's AmpOptimWrapper
            config.optim_wrapper.pop(name, None)
    else:
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.setdefault("loss_scale", "dynamic")


@contextmanager
def predict_in(model: torch.nn.Module, amp: str | None) -> Iterator[None]:
    """Predict in mixed precision meanwhile; ``None`` changes nothing.

    Args:
        model: The model, out of any wrapper that shares gradients.
        amp: ``'bfloat16'`` or ``'float16'``.

    Raises:
        ValueError: See `check_precision`.
    """
    if amp is None:
        yield
        return
    device = next(model.parameters()).device.type
    lowered = torch.autocast(device, check_precision(amp))
    inner: Any = getattr(model, "module", model)  # inside of test-time augmentation
    if not any(base.__name__ == "BaseDetector" for base in type(inner).__mro__):
        with lowered:
            yield
        return
    extract = inner.extract_feat

    def in_low_precision(*args: Any, **kwargs: Any) -> Any:
        with lowered:
            return _as_float32(extract(*args, **kwargs))

    inner.extract_feat = in_low_precision
    try:
        yield
    finally:
        del inner.extract_feat


def check_tf32(tf32: bool) -> None:
    """Refuse TF32 without a GPU.

    Raises:
        ValueError: If it is asked for there.
    """
    if tf32 and not torch.cuda.is_available():
        raise InputError("--tf32 needs a GPU; leave it out on the CPU")


@contextmanager
def repeatable_scoring(*, tf32: bool) -> Iterator[None]:
    """Have a GPU score in full float32, and the same bits whenever it is asked again.

    torch lets cuDNN round the inputs of float32 convolutions to TF32's 10 bits of mantissa, and
    mmengine has it choose algorithms by timing them, which may choose others next time.

    Args:
        tf32: Allow TF32 in convolutions and matrix products all the same; faster.

    Raises:
        ValueError: If TF32 is asked for without a GPU.
    """
    check_tf32(tf32)
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32, cudnn.benchmark, cudnn.deterministic
    try:
        _set_numerics(tf32, tf32, False, True)
        yield
    finally:
        _set_numerics(*before)


def _set_numerics(cudnn_tf32: bool, tf32: bool, benchmark: bool, deterministic: bool) -> None:
    torch.backends.cudnn.allow_tf32 = cudnn_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.deterministic = deterministic


def describe_float32(*, tf32: bool) -> str:
    """How float32 is computed, in words of a result's provenance; empty on the CPU."""
    if not torch.cuda.is_available():
        return ""
    return "TF32" if tf32 else "no TF32"


def _as_float32(features: Any) -> Any:
    if isinstance(features, torch.Tensor):
        return features.float() if features.is_floating_point() else features
    if isinstance(features, list | tuple):
        return type(features)(_as_float32(part) for part in features)
    return features


__all__ = [
    "PRECISIONS",
    "check_precision",
    "check_tf32",
    "describe_float32",
    "predict_in",
    "repeatable_scoring",
    "train_in",
]
