"""What `stl_small.py` compares, and its work folder's memory."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from stl_backbones.corruptions import CorruptionEngine, engine_version, get_protocol
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.models.hashing import file_sha256
from stl_backbones.results.atomic import write_atomically

PROTOCOL = get_protocol("cifar10-c")
CELLS = PROTOCOL.cells()  # the first is clean
ENGINE = CorruptionEngine("fast", strengths="cifar10")


class TimeIsUpError(Exception):
    """The time limit was reached; nothing is lost."""


@dataclass(frozen=True)
class Settings:
    """What decides the figures; a folder holds stages of one such set.

    What is not named here is as the CIFAR-10 configs have it.

    Attributes:
        classes: The first so many classes by name.
        train_per_class: Training images of each.
        test_per_class: Test images of each.
        arch: The network of all arms.
        epochs: Length of each training; the arm of twice the budget takes twice as many.
        warmup_epochs: The part of it in which the rate rises.
        batch_size: Images of a step.
        lr: Learning rate at that batch.
        policy: RandAugment's, in timm's notation.
        erase_prob: Chance that an image loses a rectangle.
        mixup_alpha: Of Mixup; 0 turns it off.
        cutmix_alpha: Of CutMix; 0 turns it off.
        amp: Precision of training and scoring, as ``--amp`` takes it.
        split_seed: Of the choice of the images.
    """

    classes: int = 10
    train_per_class: int = 4500
    test_per_class: int = 500
    arch: str = "mini_vit"
    epochs: int = 30
    warmup_epochs: int = 2
    batch_size: int = 250
    lr: float = 1e-3
    policy: str = "rand-m5-n1-mstd0.5-inc1"
    erase_prob: float = 0.1
    mixup_alpha: float = 0.2
    cutmix_alpha: float = 0.5
    amp: str = "bfloat16"
    split_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train_per_class", "test_per_class", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.classes < 2:
            raise InputError(f"classes must be at least 2, got {self.classes}")
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"epochs must be more than {self.warmup_epochs} (the warm-up), got {self.epochs}"
            )
        if self.batch_size > self.classes * self.train_per_class:
            raise InputError(
                f"batch_size must be at most {self.classes * self.train_per_class} (the training "
                f"images), got {self.batch_size}"
            )

    def image_steps(self, times: int = 1) -> int:
        """Images that a training of so many times the epochs sees, counted each time."""
        steps = self.classes * self.train_per_class // self.batch_size  # the rest is dropped
        return times * self.epochs * steps * self.batch_size


class Study:
    """A folder that remembers which stages are finished, and what each rests on.

    Args:
        folder: The work folder.
    """

    settings_type: type[Any] = Settings

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stages = folder / "stages"
        self.data = folder / "data"

    def begin(self, settings: Settings, archive: Path) -> None:
        """Note the settings, or compare them with those of the folder.

        Raises:
            ValueError: If the folder holds stages of other settings.
            FileNotFoundError: If the archive is missing.
        """
        now = {
            **asdict(settings),
            "archive": file_sha256(archive),
            "engine": engine_version(ENGINE),
        }
        self.compare(now)

    def compare(self, now: Mapping[str, Any]) -> None:
        """Note what the stages rest on, or compare it with what the folder's do.

        Raises:
            ValueError: If it differs.
        """
        path = self.folder / "study.json"
        if not path.is_file():
            self.stages.mkdir(parents=True, exist_ok=True)
            write_json(path, now)
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [
            f"{name} {before.get(name)} (now {now.get(name)})"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if other:
            raise InputError(
                f"'{self.folder}' holds a study of other settings: {', '.join(other)}; go on with "
                "those, or give another --work-dir"
            )

    def settings(self) -> Any:
        """The settings of the folder.

        Raises:
            FileNotFoundError: If it holds no study.
        """
        path = self.folder / "study.json"
        if not path.is_file():
            raise MissingFileError(f"'{self.folder}' holds no study: '{path}' is missing")
        known = json.loads(path.read_text(encoding="utf-8"))
        return self.settings_type(
            **{field.name: known[field.name] for field in fields(self.settings_type)}
        )

    def run_folder(self, kind: str, seed: int) -> Path:
        """Where a training's checkpoints and logs are."""
        return self.folder / "runs" / f"{kind}-seed{seed}"

    def read(self, stage: str, *, rests_on: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The record of a stage; empty if it is not finished.

        Args:
            stage: Its name.
            rests_on: Name -> sha256 of what it should rest on; default: not compared.

        Raises:
            ValueError: If it rests on something else.
        """
        path = self.stages / f"{stage}.json"
        if not path.is_file():
            return {}
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if rests_on is not None and record["rests_on"] != dict(rests_on):
            raise InputError(
                f"stage '{stage}' was made from other files than there are now; remove '{path}' to "
                "make it anew"
            )
        return record

    def write(self, stage: str, result: Mapping[str, Any], *, rests_on: Mapping[str, str]) -> None:
        """Remember a finished stage."""
        record = {"stage": stage, "rests_on": dict(rests_on), **result, "machine": machine()}
        write_json(self.stages / f"{stage}.json", record)

    def add_minutes(self, stage: str, minutes: float) -> float:
        """Count wall time of a stage that may be made in parts; returns the sum."""
        path = self.stages / f"{stage}.minutes"
        before = float(path.read_text(encoding="utf-8")) if path.is_file() else 0.0
        write_atomically(path, str(before + minutes).encode())
        return before + minutes


def check_time(deadline: float) -> None:
    """Stop at a deadline.

    Raises:
        TimeIsUpError: If it has passed.
    """
    if time.monotonic() >= deadline:
        raise TimeIsUpError


def machine() -> str:
    """What the work runs on."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    else:
        cpus = Path("/proc/cpuinfo")
        text = cpus.read_text(encoding="utf-8") if cpus.is_file() else ""
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        name = f"{found[1] if found else platform.machine()}, {torch.get_num_threads()} thread(s)"
    return f"{name}; torch {torch.__version__}"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
