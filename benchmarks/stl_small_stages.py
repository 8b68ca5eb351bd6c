"""The stages of `stl_small.py`: extracting and corrupting images, training, scoring."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
import time
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from stl_small_study import CELLS, ENGINE, Settings, Study, check_time
from torch import Tensor, nn

from stl_backbones.config.reading import load_config
from stl_backbones.corruptions import corrupt_all, prepare
from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.engine.checkpointing import find_resume
from stl_backbones.engine.loading import load_model_weights
from stl_backbones.errors import InputError
from stl_backbones.evaluation.classified import SCORINGS, scores
from stl_backbones.models import read_checkpoint
from stl_backbones.models.hashing import file_sha256
from stl_backbones.pretraining.preprocessor import MEAN, STD
from stl_backbones.registry import HOOKS, MODELS
from stl_backbones.results.atomic import write_atomically
from stl_backbones.training.train import train as pretrain

CONFIGS = Path(__file__).parents[1] / "configs/cls"


@dataclass(frozen=True)
class Arm:
    """One of the trainings that are compared.

    Attributes:
        config: Its config.
        labeler: The arm of the same seed whose network labels the tokens; empty for none.
        token_labels: How its logits become labels, see `stl_backbones.models.losses.token_labels`.
        times: Its epochs, as a multiple of the settings'.
    """

    config: str
    labeler: str = ""
    token_labels: str = ""
    times: int = 1


# In the order of training.
ARMS = {
    "class_only": Arm("stl_fan_mini_cifar10_classifier.py"),
    "labeler": Arm("stl_fan_mini_cifar10_labeler.py"),
    "student": Arm("stl_fan_mini_cifar10_student.py", "labeler", "gumbel"),
    "class_only_long": Arm("stl_fan_mini_cifar10_classifier.py", times=2),
    "student_of_plain": Arm("stl_fan_mini_cifar10_student.py", "class_only", "argmax"),
    "student_argmax": Arm("stl_fan_mini_cifar10_student.py", "labeler", "argmax"),
}
TEST_SHARE = 10  # every tenth image of a class is for testing: 5,000 of CIFAR-10's 50,000
BATCH = 500  # test images that are classified at once
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@HOOKS.register_module()
class StopAtDeadline(Hook):
    """Ends a training between two epochs, after the checkpoint.

    Args:
        deadline: On `time.monotonic`'s clock.
    """

    priority = "LOWEST"

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the clock.

        Raises:
            TimeIsUpError: If the deadline has passed and epochs are left.
        """
        if runner.epoch + 1 < runner.max_epochs:
            check_time(self.deadline)


def extract_images(archive: Path, folder: Path, settings: Settings) -> dict[str, int]:
    """Write the chosen images to ``folder/{train,val}/<class>/``.

    The test images of a class are the first of a shuffled tenth, its training images the first of
    the rest: two studies of one split seed never test on what the other trains on.

    Args:
        archive: A tar file of ``.../<class>/<name>.jpg``.
        folder: Made whole or not at all.
        settings: How many of which classes.

    Returns:
        Split -> number of images.

    Raises:
        ValueError: If the archive is damaged, holds an unsafe name, or too few images.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        with tarfile.open(archive) as tar:
            chosen = _choose_images(_list_classes(tar), settings)
            for split, class_name, member in chosen:
                path = partial / split / class_name / PurePosixPath(member.name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    shutil.copyfileobj(tar.extractfile(member), file)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"archive '{archive}' cannot be read: {error}") from error
    partial.rename(folder)
    splits = [split for split, _, _ in chosen]
    return {split: splits.count(split) for split in ("train", "val")}


def _list_classes(tar: tarfile.TarFile) -> dict[str, list[tarfile.TarInfo]]:
    """Class -> its files by name; both are plain names, so that nothing is written elsewhere."""
    files: dict[str, dict[str, tarfile.TarInfo]] = defaultdict(dict)
    for member in tar.getmembers():
        if member.isdir():
            continue
        parts = PurePosixPath(member.name).parts
        plain = all(_PLAIN_NAME.fullmatch(part) for part in parts)
        if not member.isfile() or not plain or len(parts) < 2:
            raise InputError(
                "the archive must hold plain files <folder>/<class>/<name>.jpg, "
                f"got '{member.name}'"
            )
        if parts[-1] in files[parts[-2]]:
            raise InputError(f"the archive holds two files '{parts[-2]}/{parts[-1]}'")
        files[parts[-2]][parts[-1]] = member
    return {name: [members[key] for key in sorted(members)] for name, members in files.items()}


def _choose_images(
    files: Mapping[str, Sequence[tarfile.TarInfo]], settings: Settings
) -> list[tuple[str, str, tarfile.TarInfo]]:
    """Split, class and file of each image, in the archive's order."""
    if len(files) < settings.classes:
        raise InputError(
            f"the archive holds {len(files)} classes, expected at least {settings.classes}"
        )
    chosen = []
    for number, name in enumerate(sorted(files)[: settings.classes]):
        members = files[name]
        order = np.random.default_rng((settings.split_seed, number)).permutation(len(members))
        for_test = len(members) // TEST_SHARE
        pools = {
            "val": (order[:for_test], settings.test_per_class),
            "train": (order[for_test:], settings.train_per_class),
        }
        for split, (pool, count) in pools.items():
            if count > len(pool):
                raise InputError(
                    f"class '{name}' has {len(pool)} images for '{split}', "
                    f"expected at least {count}"
                )
            chosen += [(split, name, members[index]) for index in pool[:count]]
    return sorted(chosen, key=lambda image: image[2].offset)


def folder_sha256(folder: Path) -> str:
    """One number for the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def corrupt_images(study: Study, path: Path) -> None:
    """Write the test images of every cell as one array, ``(cells, images, 32, 32, 3)`` uint8.

    A corruption is drawn from the image's class folder and name.

    Args:
        study: Gives the images.
        path: The ``.npy`` file, there whole or not at all.
    """
    files = list_images(study, "val")
    names = list(dict.fromkeys(cell.corruption for cell in CELLS[1:]))
    prepare(names, mode=ENGINE.mode, strengths=ENGINE.strengths)
    partial = path.with_name(f"{path.name}.partial")
    shape = (len(CELLS), len(files), 32, 32, 3)
    cells = np.lib.format.open_memmap(partial, "w+", dtype=np.uint8, shape=shape)
    at = {(cell.corruption, cell.severity): index for index, cell in enumerate(CELLS)}
    for number, (file, _) in enumerate(files):
        image = np.asarray(read_rgb(file))
        cells[0, number] = image
        key = "/".join(file.parts[-2:])
        for shown in corrupt_all(image, names, key=key, engine=ENGINE):
            cells[at[shown.name, shown.severity], number] = shown.image
    cells.flush()
    partial.rename(path)


def list_images(study: Study, split: str) -> list[tuple[Path, int]]:
    """The images of ``'train'`` or ``'val'`` and their classes, by name."""
    folders = sorted(folder for folder in (study.data / split).iterdir())
    return [
        (file, label) for label, folder in enumerate(folders) for file in sorted(folder.iterdir())
    ]


def with_token_head(checkpoint: Path, path: Path) -> Path:
    """Make a labeler of a network without token head: its class head classifies the tokens too."""
    content = read_checkpoint(checkpoint)
    weights = dict(content["state_dict"])
    for name in ("weight", "bias"):
        weights[f"backbone.aux_head.{name}"] = weights[f"backbone.head.{name}"]
    file = io.BytesIO()
    torch.save({"state_dict": weights, "meta": content["meta"]}, file)
    write_atomically(path, file.getvalue())
    return path


def train(
    study: Study,
    arm: str,
    seed: int,
    *,
    labeler: Path | None,
    workers: int,
    deadline: float,
) -> dict[str, Any]:
    """Train a network through the suite's own function, or go on where it stopped.

    Args:
        study: Gives settings, data and work folder.
        arm: One of `ARMS`.
        seed: Of the first weights, the order of the images and all augmentation.
        labeler: The student's.
        workers: Processes that read images; the result does not depend on them.
        deadline: See `StopAtDeadline`.

    Returns:
        The stage's record: the checkpoint, its sha256, image steps and minutes.

    Raises:
        TimeIsUpError: If the deadline comes first.
        ValueError: If the training cannot go on.
    """
    settings = study.settings()
    config, run = CONFIGS / ARMS[arm].config, study.run_folder(arm, seed)
    options = training_options(study, arm, seed, workers=workers)
    if labeler is not None:
        options["labeler"] = str(labeler)
    options["custom_hooks"] = [
        *load_config(config).custom_hooks,
        {"type": "stl_backbones.StopAtDeadline", "deadline": deadline},
    ]
    begun = time.monotonic()
    try:
        pretrain(
            config,
            work_dir=run,
            resume="auto" if (run / "last_checkpoint").is_file() else None,
            amp=settings.amp,
            options=options,
        )
    finally:
        minutes = study.add_minutes(f"{arm}-seed{seed}", (time.monotonic() - begun) / 60)
    checkpoint = find_resume(run)
    return {
        "checkpoint": checkpoint.name,
        "sha256": file_sha256(checkpoint),
        "image_steps": settings.image_steps(ARMS[arm].times),
        "minutes": minutes,
    }


def training_options(study: Study, arm: str, seed: int, *, workers: int) -> dict[str, Any]:
    """The ``--cfg-options`` of a training: the same for all arms but for labels and length."""
    settings, chosen = study.settings(), ARMS[arm]
    first = 1 if chosen.labeler else 0  # behind TwoViews
    options = {
        "data_root": str(study.data),
        "num_classes": settings.classes,
        "model.arch": settings.arch,
        "batch_size": settings.batch_size,
        "num_workers": workers,
        "seed": seed,
        "lr": settings.lr,
        "epochs": settings.epochs * chosen.times,
        "warmup_epochs": settings.warmup_epochs,
        "val_interval": settings.epochs * chosen.times,  # once: nothing is chosen by it
        "model.data_preprocessor.erase_prob": settings.erase_prob,
        "model.data_preprocessor.mixup_alpha": settings.mixup_alpha,
        "model.data_preprocessor.cutmix_alpha": settings.cutmix_alpha,
        f"train_dataloader.dataset.pipeline.{first + 2}.policy": settings.policy,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.save_best": None,
    }
    if chosen.token_labels:
        options["model.token_labels"] = chosen.token_labels
    return options


def score(study: Study, arm: str, checkpoint: Path, cells: Path) -> dict[str, np.ndarray]:
    """Classify the test images of every cell with the averaged weights of a network.

    Args:
        study: Gives settings and data.
        arm: One of `ARMS`.
        checkpoint: Its checkpoint.
        cells: The file of `corrupt_images`.

    Returns:
        ``'<arm>/<scoring>'`` -> ``(cells, images)`` bool, whether the class was right; cells as
        `CELLS` has them.
    """
    network = load_network(study, arm, checkpoint)
    images, files = np.load(cells, mmap_mode="r", allow_pickle=False), list_images(study, "val")
    labels = torch.tensor([label for _, label in files])
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    amp = getattr(torch, study.settings().amp)
    with torch.inference_mode(), torch.autocast(get_device(), amp):
        for cell in images:
            parts: dict[str, list[Tensor]] = defaultdict(list)
            for start in range(0, len(cell), BATCH):
                part = slice(start, start + BATCH)
                pixels = torch.from_numpy(cell[part]).permute(0, 3, 1, 2).contiguous()
                paths = [str(file) for file, _ in files[part]]
                batch = {"student": pixels, "label": labels[part], "path": paths}
                for scoring, right in _classify(network, batch).items():
                    parts[scoring].append(right)
            for scoring, found in parts.items():
                rows[f"{arm}/{scoring}"].append(torch.cat(found).numpy())
    return {name: np.stack(found) for name, found in rows.items()}


def label_shares(study: Study, checkpoint: Path) -> dict[str, float]:
    """How often a labeler gives a token of a training image the image's own class.

    Args:
        study: Gives settings and data.
        checkpoint: Of the labeler.

    Returns:
        Share of the tokens by ``'argmax'``; by ``'gumbel'``, whose expectation over its noise is
        the mean probability of that class; and ``'image'``, the share of the images whose mean
        token is right.
    """
    network = load_network(study, "labeler", checkpoint).backbone
    files, labels = zip(*list_images(study, "train"), strict=True)
    found = defaultdict(list)
    for start in range(0, len(files), BATCH):
        part = slice(start, start + BATCH)
        pixels = torch.from_numpy(np.stack([np.asarray(read_rgb(file)) for file in files[part]]))
        own = torch.tensor(labels[part])[:, None]
        inputs = (pixels.float() - torch.tensor(MEAN)) / torch.tensor(STD)
        with torch.inference_mode():
            _, logits = network(inputs.permute(0, 3, 1, 2).to(get_device()))
        chances = logits.float().softmax(dim=-1).cpu()
        found["argmax"].append((chances.argmax(dim=-1) == own).float().mean(dim=1))
        found["gumbel"].append(chances.gather(-1, own[..., None].expand(-1, chances.shape[1], 1))
                               .mean(dim=(1, 2)))  # fmt: skip
        found["image"].append((chances.mean(dim=1).argmax(dim=-1, keepdim=True) == own)[:, 0])
    return {name: float(torch.cat(parts).float().mean()) for name, parts in found.items()}


def load_network(study: Study, arm: str, checkpoint: Path) -> Any:
    """A trained network with its averaged weights, which a checkpoint holds as its own."""
    options = training_options(study, arm, 0, workers=0)
    network: nn.Module = MODELS.build(
        load_config(CONFIGS / ARMS[arm].config, options=options).model
    )
    load_model_weights(network, checkpoint)
    return network.to(get_device()).eval()


def pack_scores(correct: Mapping[str, np.ndarray]) -> bytes:
    """The content of a ``.npz`` file."""
    file = io.BytesIO()
    np.savez_compressed(file, **correct)
    return file.getvalue()


def _classify(network: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Scoring -> ``(B,)`` bool of a batch."""
    samples = network.test_step(batch)
    has_tokens = "max_token_logits" in samples[0]
    return {
        scoring: torch.stack([scores(sample, scoring) for sample in samples]).argmax(dim=1).cpu()
        == batch["label"]
        for scoring in (SCORINGS if has_tokens else SCORINGS[:1])
    }
