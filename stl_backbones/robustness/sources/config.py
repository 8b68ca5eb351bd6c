"""Models of configs: ours, mmseg's, mmdet's, or of a registered task of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from stl_backbones.config.packaged import config_file
from stl_backbones.config.reading import load_config
from stl_backbones.config.tasks import task_of
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.base import Source


class ConfigSource(Source):
    """The model of a config, on the config's test data.

    Args:
        config: A file, or a packaged name such as ``mmdet::...``; read once.
        checkpoint: The model's weights, a file or its address.
        options: ``--cfg-options``.
        data_root: The data's folder, instead of the config's.
        name: The model's name in tables; default: the config's.
        ema: Prefer the averaged weights of the checkpoint.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path,
        *,
        options: Mapping[str, Any] | None = None,
        data_root: str | Path | None = None,
        name: str | None = None,
        ema: bool = True,
    ) -> None:
        self.path, self.checkpoint, self.ema = config_file(config), checkpoint, ema
        self.options, self.data_root = dict(options or {}), data_root
        self.name = name or self.path.stem

    @cached_property
    def config(self) -> Config:
        """The config, with the options."""
        return load_config(self.path, options=self.options, uses=("test",))

    @property
    def task(self) -> str:
        """The task of the config's model."""
        return task_of(self.config)

    def open(self, options: SweepOptions, task: Any) -> Any:
        """Build the model, as its task does it."""
        return task.from_config(self, options)


__all__ = ["ConfigSource"]
