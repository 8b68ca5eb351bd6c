"""Classifiers of timm, with its own data config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timm.data import resolve_model_data_config
from torch import Tensor

from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.models import read_checkpoint, select_state_dict
from stl_backbones.models.checkpoint import CARD
from stl_backbones.models.hashing import file_sha256, weights_sha256
from stl_backbones.models.timm_classifiers import create_from_weights, create_pretrained
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.base import Source
from stl_backbones.robustness.sources.classifier import Classifier, ViewOptions, make_classifier


class TimmSource(Source):
    """A timm model on the images of a folder.

    Args:
        timm_name: The model, with or without the tag of its weights.
        checkpoint: A file of weights (``.pth``, ``.safetensors``); ``None`` fetches timm's.
        data_root: The folder of the clean images' class folders; ``None`` for a model that is
            not scored.
        name: Its name in tables; default: timm's.
    """

    task = "classification"

    def __init__(
        self,
        timm_name: str,
        checkpoint: str | Path | None = None,
        *,
        data_root: str | Path | None,
        name: str | None = None,
    ) -> None:
        self.timm_name, self.checkpoint, self.data_root = timm_name, checkpoint, data_root
        self.name = name or timm_name

    def open(self, options: SweepOptions, task: Any = None) -> Classifier:
        """Build the model.

        Raises:
            UnknownNameError: If timm has no such model.
            MissingFileError: If the checkpoint or the folder is missing.
            InputError: If the weights do not fit, or there are none.
            OSError: If the weights cannot be fetched.
        """
        del task
        root = self.data_root
        folder = None if root is None else open_folder(root, option="--data-root")
        view_options = ViewOptions.of(options.task_options)
        network, digest, recorded = self._build(view_options.input_size)
        if not network.num_classes:
            raise InputError(f"timm's '{self.timm_name}' has no classifier, so nothing to score")
        data = resolve_model_data_config(network)
        _, height, width = data["input_size"]
        if height != width:
            raise InputError(
                f"expected square images, timm's '{self.timm_name}' takes {height}x{width}"
            )
        tag = network.pretrained_cfg.get("tag")
        full = ".".join(filter(None, (self.timm_name.partition(".")[0], tag)))
        return make_classifier(
            network,
            view_options,
            name=self.name,
            recorded=recorded,
            folder=folder,
            view=view_options.view(
                size=height,
                crop_pct=data["crop_pct"],
                interpolation=data["interpolation"],
                mode=data["crop_mode"],
            ),
            data=data,
            settings={"timm": full, "num_classes": network.num_classes},
            checkpoint_sha256=digest,
        )

    def _build(self, size: int | None) -> tuple[Any, str, tuple[str, ...] | None]:
        """The network, the hash of its weights, and the class names that their file states."""
        if self.checkpoint is None:
            network = create_pretrained(self.timm_name, img_size=size)
            return network, weights_sha256(network), None
        path = Path(self.checkpoint)
        raw = read_weights(path)
        weights = _released_weights(raw, path, self.timm_name)
        network = create_from_weights(self.timm_name, weights, source=str(path), img_size=size)
        return network, file_sha256(path), recorded_classes(raw)


def open_folder(root: str | Path, *, option: str) -> ClassFolders:
    """The class folders of a command line's folder.

    Raises:
        MissingFileError: If it is missing, or holds no images at all.
        InputError: If it holds fewer than two classes.
    """
    if not Path(root).is_dir():
        raise MissingFileError(f"{option} '{root}' does not exist; expected class folders in it")
    return ClassFolders(root, allow_empty=True)


def read_weights(path: Path) -> Any:
    """Read a checkpoint of any maker; nothing in it is executed."""
    return read_checkpoint(path)


def meta_of(raw: Any) -> Mapping[str, Any]:
    """What a checkpoint says of itself."""
    meta = raw.get("meta") if isinstance(raw, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}


def recorded_classes(raw: Any) -> tuple[str, ...] | None:
    """The class names that a checkpoint of mmengine states, in the order of its logits."""
    stated = meta_of(raw).get("dataset_meta")
    names = stated.get("classes") if isinstance(stated, Mapping) else None
    return None if names is None else tuple(map(str, names))


def _released_weights(raw: Any, path: str | Path, timm_name: str) -> dict[str, Tensor]:
    if (meta_of(raw).get(CARD) or {}).get("released_norm") is False:
        raise InputError(
            f"'{path}' was trained with released_norm=False, which timm's '{timm_name}' is not; "
            "score it with its own config"
        )
    weights = select_state_dict(raw)
    return {key.removeprefix("module."): value for key, value in weights.items()}


__all__ = ["TimmSource", "meta_of", "open_folder", "read_weights", "recorded_classes"]
