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

from stl_backbones.corruptions import CorruptionEngine, engine_version
from stl_backbones.models.hashing import file_sha256
from stl_backbones.results.atomic import write_atomically

ENGINE = "fast"


class TimeIsUpError(Exception):
    """The time limit was reached; nothing is lost."""


@dataclass(frozen=True)
class Settings:
    """What decides the figures; a folder holds stages of one such set.

    What is not named here is as the mini configs have it.

    Attributes:
        classes: The first so many classes by name.
        train_per_class: Training images of each.
        test_per_class: Test images of each.
        size: Side of the network's images in pixels.
        epochs: Length of each training.
        warmup_epochs: The part of it in which the rate rises.
        batch_size: Images of a step.
        lr: Learning rate at that batch.
        erase_prob: Chance that an image loses a rectangle.
        mixup_alpha: Of Mixup; 0 turns it off.
        cutmix_alpha: Of CutMix; 0 turns it off.
        amp: Precision of training and scoring, as ``--amp`` takes it.
        split_seed: Of the choice of the images.
    """

    classes: int = 4
    train_per_class: int = 800
    test_per_class: int = 125
    size: int = 64
    epochs: int = 6
    warmup_epochs: int = 1
    batch_size: int = 64
    lr: float = 5e-4
    erase_prob: float = 0.1
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    amp: str = "bfloat16"
    split_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train_per_class", "test_per_class", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.classes < 2:
            raise ValueError(f"classes must be at least 2, got {self.classes}")
        if self.size < 32:
            raise ValueError(f"size must be at least 32, got {self.size}")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"epochs must be more than {self.warmup_epochs} (the warm-up), got {self.epochs}"
            )
        if self.batch_size > self.classes * self.train_per_class:
            raise ValueError(
                f"batch_size must be at most {self.classes * self.train_per_class} (the training "
                f"images), got {self.batch_size}"
            )

    @property
    def image_steps(self) -> int:
        """Images that one training sees, counted each time; the last part of a batch is dropped."""
        steps = self.classes * self.train_per_class // self.batch_size
        return self.epochs * steps * self.batch_size


PRESETS = {
    "cpu": Settings(),
    "gpu": Settings(
        classes=10, train_per_class=4500, test_per_class=500, size=96, epochs=60,
        warmup_epochs=3, batch_size=256, lr=1e-3, mixup_alpha=0.2, cutmix_alpha=0.5,
    ),
}  # fmt: skip


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
            "engine": engine_version(CorruptionEngine(ENGINE)),
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
            raise ValueError(
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
            raise FileNotFoundError(f"'{self.folder}' holds no study: '{path}' is missing")
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
            raise ValueError(
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
