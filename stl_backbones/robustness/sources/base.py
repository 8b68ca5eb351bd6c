"""Where a model comes from, and what the tasks need to know of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stl_backbones.models.counting import count_parameters
from stl_backbones.models.hashing import weights_sha256
from stl_backbones.robustness.options import SweepOptions


class Source(ABC):
    """A model that can be opened, with the data that it is scored on.

    Attributes:
        name: The model's name in tables, unless the user gives another.
        config: The model's, where it has one.
    """

    name: str
    config: Any = None

    @property
    @abstractmethod
    def task(self) -> str:
        """The task's name."""

    @abstractmethod
    def open(self, options: SweepOptions, task: Any) -> Any:
        """Build the model, ready to predict; called on every process.

        Args:
            options: Resolved options.
            task: The `stl_backbones.robustness.tasks.Task`.

        Returns:
            What the task's ``open`` takes.

        Raises:
            InputError: If model, weights and options do not fit together.
            MissingFileError: If something named is missing.
        """


@dataclass(frozen=True)
class DenseModel:
    """A config's model, whose ``test_step`` takes what the config's pipeline packs.

    Attributes:
        name: Its name in tables.
        config: The config.
        model: The model, in evaluation mode; perhaps inside of test-time augmentation.
        config_sha256: Hash of what decides predictions beside the weights.
    """

    name: str
    config: Any
    model: nn.Module
    config_sha256: str

    @property
    def checkpoint_sha256(self) -> str:
        """Hash of the weights and buffers in use, whatever file they came from."""
        return weights_sha256(self.inner)

    @property
    def inner(self) -> Any:
        """The model inside of mmengine's wrapper for test-time augmentation."""
        return innermost(self.model)

    @property
    def parameters(self) -> int:
        """Parameters of the model."""
        return count_parameters(self.inner)

    @property
    def encoder_parameters(self) -> int:
        """Parameters of its backbone; 0 if it has none of that name."""
        encoder = getattr(self.inner, "backbone", None)
        return 0 if encoder is None else count_parameters(encoder)

    @property
    def is_half(self) -> bool:
        """Whether the config asks for mixed precision in its test loop."""
        return bool((self.config.get("test_cfg") or {}).get("fp16"))

    def extras(self, options: SweepOptions) -> Iterator[str]:
        """What is unusual about how it predicts, in words."""
        if self.inner is not self.model:
            yield "test-time augmentation"
        if options.amp:
            yield options.amp
        elif self.is_half:
            yield "test_cfg.fp16"


def innermost(model: nn.Module) -> nn.Module:
    """The model inside of a wrapper."""
    inner = getattr(model, "module", None)
    return inner if isinstance(inner, nn.Module) else model


def default_device() -> str:
    """The device that models are scored on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_of(network: nn.Module) -> torch.device:
    """The device that a model is on."""
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


__all__ = ["DenseModel", "Source", "default_device", "device_of", "innermost"]
