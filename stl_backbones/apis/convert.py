"""Released checkpoints as plain backbone files."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from stl_backbones.models import (
    FAN,
    LoadReport,
    clean_state_dict,
    infer_variant,
    load_weights,
    read_checkpoint,
    select_state_dict,
)
from stl_backbones.models.checkpoint import HEAD_PREFIXES
from stl_backbones.results.atomic import write_atomically


def convert_checkpoint(
    source: str | Path, target: str | Path, *, ema: bool = True, with_head: bool = False
) -> tuple[str, LoadReport]:
    """Write the weights of a released checkpoint as a file for ``init_cfg`` of type 'Pretrained'.

    Args:
        source: A ``.pth.tar`` of the released layout, or any file the models' loader takes.
        target: The file to write: a dict with ``state_dict`` and ``meta``, plain data only.
        ema: Take the averaged weights, which the paper reports.
        with_head: Keep the classifiers as well.

    Returns:
        The variant's arch, and the report of matched, missing, unexpected and reshaped keys.

    Raises:
        FileNotFoundError: If the source or the target's folder is missing.
        ValueError: If the source is no whole FAN, or source and target are one file.
    """
    source, target = Path(source), Path(target)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"folder '{target.parent}' for the converted file does not exist")
    if target.is_dir() or (target.exists() and target.samefile(source)):
        raise ValueError(f"'{target}' must be a new file, not a folder and not the source")
    weights = clean_state_dict(select_state_dict(read_checkpoint(source), ema=ema))
    variant, has_token_head = infer_variant(weights)
    classes = len(weights["head.weight"]) if "head.weight" in weights else 0
    model = FAN(variant, num_classes=classes, token_head=has_token_head)
    report = load_weights(model, weights, source=str(source))
    kept = {
        name: value
        for name, value in model.state_dict().items()
        if with_head or not name.startswith(HEAD_PREFIXES)
    }
    meta = {"arch": variant.arch, "released_name": variant.name, "ema": ema, "source": source.name}
    buffer = io.BytesIO()
    torch.save({"state_dict": kept, "meta": meta}, buffer)
    write_atomically(target, buffer.getvalue())
    return variant.arch, report
