"""What can be exported: the network behind a name or a config, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.data import resolve_model_data_config

from stl_backbones.datasets.views import View
from stl_backbones.errors import InputError, UnknownNameError
from stl_backbones.models import (
    FAN,
    clean_state_dict,
    get_variant,
    load_weights,
    read_checkpoint,
    select_state_dict,
)
from stl_backbones.models.checkpoint import CARD
from stl_backbones.models.fetching import local_file
from stl_backbones.models.hashing import file_sha256
from stl_backbones.onnx_export.networks import (
    DenseMaps,
    Source,
    fitting_classes,
    logit_names,
    meta_of,
)
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.timm import TimmSource

_SEED = 0  # of untrained weights
_TIMM = "timm:"
_UNTRAINED: dict[str, Any] = {
    "checkpoint_sha256": "none", "note": "no checkpoint: the weights are untrained"
}  # fmt: skip


def open_source(
    model: str,
    checkpoint: str | Path | None,
    *,
    backbone: bool = False,
    options: Mapping[str, Any] | None = None,
    ema: bool = True,
) -> Source:
    """Build the network of a name or a config, with a checkpoint's weights.

    Args:
        model: A FAN's name, see `stl_backbones.models.get_variant`; ``timm:NAME`` for any
            classifier of timm; or a config.
        checkpoint: Its weights; ``None``, for a name alone, leaves a FAN untrained, and fetches
            timm's.
        backbone: Take the backbone's dense maps alone.
        options: ``--cfg-options``.
        ema: Prefer the averaged weights of the checkpoint.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        KeyError: If the name is none, or an option names nothing in the config.
        ValueError: If the model cannot be exported, or the checkpoint does not fit.
    """
    if not (model.endswith(".py") or "::" in model):
        if options:
            raise InputError(f"--cfg-options changes a config; '{model}' is a model's name")
        if model.startswith(_TIMM):
            return _open_timm(model.removeprefix(_TIMM), checkpoint, backbone=backbone, ema=ema)
        name = _timm_name(model)
        opener = _open_maps if backbone else _open_classifier
        return opener(name, checkpoint, ema=ema)
    if checkpoint is None:
        raise InputError(f"config '{model}' needs a checkpoint: CONFIG CHECKPOINT OUT")
    from stl_backbones.onnx_export.config_sources import open_config  # needs OpenMMLab

    return open_config(model, checkpoint, backbone=backbone, options=options, ema=ema)


def _timm_name(name: str) -> str:
    """The released name of a FAN, by that or by its arch.

    Raises:
        KeyError: If it is none.
    """
    try:
        variant = get_variant(name)
    except KeyError as error:
        raise UnknownNameError(
            f"{error.args[0]}; or give timm:NAME, or a config, NAME.py"
        ) from error
    return f"{variant.name}_token" if name.endswith("_token") else variant.name


def _open_timm(name: str, checkpoint: str | Path | None, *, backbone: bool, ema: bool) -> Source:
    """Any classifier of timm."""
    if backbone:
        raise InputError(f"--backbone exports a FAN's maps, or a config's, not {_TIMM}{name}'s")
    found = TimmSource(name, checkpoint, data_root=None, ema=ema).open(SweepOptions())
    stated = {} if checkpoint is None else meta_of(checkpoint).get("dataset_meta")
    return Source(
        name=found.name,
        network=found.network,
        outputs=logit_names(found.network),
        checkpoint_sha256=(
            found.checkpoint_sha256 if checkpoint is None else file_sha256(local_file(checkpoint))
        ),
        mean=tuple(255 * value for value in found.mean),
        std=tuple(255 * value for value in found.std),
        classes=fitting_classes(found.num_classes, stated),
        task="classification",
        view=found.view,
    )


def _open_classifier(name: str, checkpoint: str | Path | None, *, ema: bool) -> Source:
    if checkpoint is not None:
        return _open_timm(name, checkpoint, backbone=False, ema=ema)
    network = _untrained(name)
    data = resolve_model_data_config(network)
    view = View.of_crop_pct(
        data["input_size"][-1], data["crop_pct"], interpolation=data["interpolation"]
    )
    return Source(
        name, network, logit_names(network), **_UNTRAINED, task="classification", view=view
    )


def _untrained(name: str, **settings: Any) -> FAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return cast("FAN", timm.create_model(name, **settings))


def _open_maps(name: str, checkpoint: str | Path | None, *, ema: bool) -> Source:
    """The backbone of a released, converted or pretrained file; its heads do not matter."""
    if checkpoint is None:
        return Source(name, DenseMaps(_untrained(name, num_classes=0)), None, **_UNTRAINED)
    weights = select_state_dict(read_checkpoint(checkpoint), ema=ema, source=checkpoint)
    card = meta_of(checkpoint).get(CARD)
    if card is None and any(k.endswith("cls_token") and "backbone." in k for k in weights):
        raise InputError(
            f"checkpoint '{checkpoint}' is a segmentation model's or a detector's; give its config "
            "with --backbone, which says how its norms were trained"
        )
    released_norm = (card or {}).get("released_norm", True)
    network = FAN(get_variant(name), num_classes=0, released_norm=released_norm)
    load_weights(network, clean_state_dict(weights, ema=ema), source=str(checkpoint))
    return Source(name, DenseMaps(network), None, file_sha256(local_file(checkpoint)))


__all__ = ["open_source"]
