"""Released checkpoints as plain backbone files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stl_backbones.errors import InputError
from stl_backbones.models import (
    FAN,
    LoadReport,
    clean_state_dict,
    infer_variant,
    load_weights,
    read_checkpoint,
    select_state_dict,
)
from stl_backbones.models.checkpoint import CARD, HEAD_PREFIXES
from stl_backbones.models.fetching import local_file
from stl_backbones.paths import check_folder
from stl_backbones.results.atomic import write_atomically


def convert_checkpoint(
    source: str | Path, target: str | Path, *, ema: bool = True, with_head: bool = False
) -> tuple[str, LoadReport]:
    """Write the weights of a released checkpoint as a file for ``init_cfg`` of type 'Pretrained'.

    Args:
        source: A ``.pth.tar`` of the released layout, or any file the models' loader takes.
        target: The file to write: a dict with ``state_dict`` and ``meta``, plain data only. What
            the source says of its network, such as its norms, and of its classes, is kept.
        ema: Take the averaged weights, which the paper reports.
        with_head: Keep the classifiers as well.

    Returns:
        The variant's arch, and the report of matched, missing, unexpected and reshaped keys.

    Raises:
        FileNotFoundError: If the source or the target's folder is missing.
        ValueError: If the source is no whole FAN, lacks classifiers that are to be kept, or is the
            target.
    """
    target = Path(target)
    check_folder(target.parent, "the converted file's folder")
    source = local_file(source)
    if target.is_dir() or (target.exists() and target.samefile(source)):
        raise InputError(f"'{target}' must be a new file, not a folder and not the source")
    content = read_checkpoint(source)
    weights = clean_state_dict(select_state_dict(content, ema=ema, source=source), ema=ema)
    variant, has_token_head = infer_variant(weights)
    classes = len(weights["head.weight"]) if "head.weight" in weights else 0
    model = FAN(variant, num_classes=classes, token_head=has_token_head)
    report = load_weights(model, weights, source=str(source))
    unfilled = [n for n in (*report.missing, *report.reshaped) if n.startswith(HEAD_PREFIXES)]
    if with_head and unfilled:
        raise InputError(
            f"'{source}' does not fill its classifiers ({', '.join(unfilled)}), so they cannot be "
            "kept; leave --with-head out"
        )
    kept = {
        name: value
        for name, value in model.state_dict().items()
        if with_head or not name.startswith(HEAD_PREFIXES)
    }
    meta = {
        "arch": variant.arch, "released_name": variant.name, "ema": ema, "source": source.name,
        **_statements(content),
    }  # fmt: skip
    buffer = io.BytesIO()
    torch.save({"state_dict": kept, "meta": meta}, buffer)
    write_atomically(target, buffer.getvalue())
    return variant.arch, report


def _statements(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint of a pretraining run says of its network and classes: plain data."""
    meta = _part(content, "meta")
    card = {k: v for k, v in _part(meta, CARD).items() if isinstance(v, str | int | float)}
    classes = _part(meta, "dataset_meta").get("classes")
    statements: dict[str, Any] = {CARD: card} if card else {}
    if isinstance(classes, list | tuple):
        statements["dataset_meta"] = {"classes": tuple(map(str, classes))}
    return statements


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = content.get(name)
    return part if isinstance(part, Mapping) else {}
