"""The stages of `stl_small.py`: extracting images, training, scoring."""

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
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from stl_small_study import ENGINE, Settings, Study, check_time
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from stl_backbones.config.reading import load_config
from stl_backbones.corruptions import CORRUPTIONS, corrupt_all, prepare
from stl_backbones.datasets.two_views import STUDENT
from stl_backbones.engine import find_resume, load_model_weights
from stl_backbones.evaluation.classification import SCORINGS, scores
from stl_backbones.models.hashing import file_sha256
from stl_backbones.registry import DATASETS, HOOKS, MODELS
from stl_backbones.results.atomic import write_atomically
from stl_backbones.training.train import train

CONFIGS = Path(__file__).parents[1] / "configs/cls"
# What is compared -> its config. The student's labeler is the labeler of the same seed.
KINDS = {
    "class_only": "stl_fan_t_mini_classifier.py",
    "labeler": "stl_fan_t_mini_labeler.py",
    "student": "stl_fan_t_mini_student.py",
}
TEST_SHARE = 10  # every tenth image of a class is for testing: 5,000 of CIFAR-10's 50,000
PART = 250  # test images that are scored as one stage
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
        raise ValueError(f"archive '{archive}' cannot be read: {error}") from error
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
            raise ValueError(
                "the archive must hold plain files <folder>/<class>/<name>.jpg, "
                f"got '{member.name}'"
            )
        if parts[-1] in files[parts[-2]]:
            raise ValueError(f"the archive holds two files '{parts[-2]}/{parts[-1]}'")
        files[parts[-2]][parts[-1]] = member
    return {name: [members[key] for key in sorted(members)] for name, members in files.items()}


def _choose_images(
    files: Mapping[str, Sequence[tarfile.TarInfo]], settings: Settings
) -> list[tuple[str, str, tarfile.TarInfo]]:
    """Split, class and file of each image, in the archive's order."""
    if len(files) < settings.classes:
        raise ValueError(
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
                raise ValueError(
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


def start_weights(study: Study, seed: int) -> Path:
    """The file of random weights that all trainings of a seed start from.

    A network with a token head draws its weights in another order than one without: from the seed
    alone they would start apart.
    """
    path = study.folder / "runs" / f"start-seed{seed}.pth"
    if not path.is_file():
        options = training_options(study, "labeler", seed, workers=0)
        config = load_config(CONFIGS / KINDS["labeler"], options=options)
        torch.manual_seed(seed)
        file = io.BytesIO()
        torch.save(MODELS.build(config.model).backbone.state_dict(), file)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, file.getvalue())
    return path


def train(
    study: Study,
    kind: str,
    seed: int,
    *,
    start: Path,
    labeler: Path | None,
    workers: int,
    deadline: float,
) -> dict[str, Any]:
    """Train a network through the suite's own function, or go on where it stopped.

    Args:
        study: Gives settings, data and work folder.
        kind: One of `KINDS`.
        seed: Of the order of the images and all augmentation.
        start: The weights to start from.
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
    config, run = CONFIGS / KINDS[kind], study.run_folder(kind, seed)
    options = training_options(study, kind, seed, workers=workers) | {"init": str(start)}
    if labeler is not None:
        options["labeler"] = str(labeler)
    options["custom_hooks"] = [
        *load_config(config).custom_hooks,
        {"type": "stl_backbones.StopAtDeadline", "deadline": deadline},
    ]
    begun = time.monotonic()
    try:
        train(
            config,
            work_dir=run,
            resume="auto" if (run / "last_checkpoint").is_file() else None,
            amp=settings.amp,
            options=options,
        )
    finally:
        minutes = study.add_minutes(f"{kind}-seed{seed}", (time.monotonic() - begun) / 60)
    checkpoint = find_resume(run)
    return {
        "checkpoint": checkpoint.name,
        "sha256": file_sha256(checkpoint),
        "image_steps": settings.image_steps,
        "minutes": minutes,
    }


def training_options(study: Study, kind: str, seed: int, *, workers: int) -> dict[str, Any]:
    """The ``--cfg-options`` of a training: the same for all kinds but for the place of the crop."""
    settings = study.settings()
    crop = 1 if kind == "student" else 0  # behind TwoViews
    return {
        "data_root": str(study.data),
        "num_classes": settings.classes,
        "batch_size": settings.batch_size,
        "num_workers": workers,
        "seed": seed,
        "lr": settings.lr,
        "epochs": settings.epochs,
        "warmup_epochs": settings.warmup_epochs,
        "val_interval": settings.epochs,  # once, at the end: nothing is chosen by it
        "model.data_preprocessor.erase_prob": settings.erase_prob,
        "model.data_preprocessor.mixup_alpha": settings.mixup_alpha,
        "model.data_preprocessor.cutmix_alpha": settings.cutmix_alpha,
        f"train_dataloader.dataset.pipeline.{crop}.size": settings.size,
        "val_dataloader.dataset.pipeline.0.size": settings.size,
        "test_dataloader.dataset.pipeline.0.size": settings.size,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.save_best": None,
    }


class AllCells:
    """The last step of a pipeline: the view clean, then with every corruption and severity."""

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return a batch: ``student`` ``(cells, 3, H, W)`` uint8, ``label`` ``(cells,)``, ``path``.

        A corruption is drawn from the image's class folder and name.
        """
        image = np.asarray(item["views"][STUDENT])
        key = "/".join(Path(item["path"]).parts[-2:])
        shown = [image, *(cell.image for cell in corrupt_all(image, key=key, mode=ENGINE))]
        pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).contiguous()
        return {
            "student": pixels,
            "label": torch.full((len(shown),), item["label"]),
            "path": [item["path"]] * len(shown),
        }


def score(
    study: Study, checkpoints: Mapping[str, Path], part: range, *, workers: int
) -> dict[str, np.ndarray]:
    """Classify some test images in every cell with the averaged weights of some networks.

    Args:
        study: Gives settings and data.
        checkpoints: Kind -> its checkpoint.
        part: Indices of the images.
        workers: Processes that corrupt images.

    Returns:
        ``'<kind>/<scoring>'`` -> ``(cells, images)`` bool, whether the class was right; the cells
        are clean, then `CORRUPTIONS` by severity.
    """
    settings = study.settings()
    networks = {kind: load_network(study, kind, path) for kind, path in checkpoints.items()}
    loader = DataLoader(Subset(_test_images(study), part), batch_size=None, num_workers=workers)
    prepare(CORRUPTIONS, mode=ENGINE)
    columns: dict[str, list[Tensor]] = defaultdict(list)
    device = get_device()
    with torch.inference_mode(), torch.autocast(device, getattr(torch, settings.amp)):
        for batch in loader:
            for kind, network in networks.items():
                for scoring, correct in _classify(network, batch).items():
                    columns[f"{kind}/{scoring}"].append(correct)
    return {name: torch.stack(found, dim=1).numpy() for name, found in columns.items()}


def load_network(study: Study, kind: str, checkpoint: Path) -> Any:
    """A trained network with its averaged weights, which a checkpoint holds as its own."""
    options = training_options(study, kind, 0, workers=0)
    network: nn.Module = MODELS.build(load_config(CONFIGS / KINDS[kind], options=options).model)
    load_model_weights(network, checkpoint)
    return network.to(get_device()).eval()


def pack_scores(correct: Mapping[str, np.ndarray]) -> bytes:
    """The content of a ``.npz`` file."""
    file = io.BytesIO()
    np.savez_compressed(file, **correct)
    return file.getvalue()


def _test_images(study: Study) -> Any:
    """The validation images of the configs, their pipeline ended by `AllCells`."""
    options = training_options(study, "class_only", 0, workers=0)
    config = load_config(CONFIGS / KINDS["class_only"], options=options)
    dataset = config.val_dataloader.dataset.to_dict()
    return DATASETS.build({**dataset, "pipeline": [*dataset["pipeline"][:-1], AllCells()]})


def _classify(network: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Scoring -> ``(cells,)`` bool of the cells of one image."""
    samples = network.test_step(batch)
    has_tokens = "max_token_logits" in samples[0]
    return {
        scoring: torch.stack([scores(sample, scoring) for sample in samples]).argmax(dim=1).cpu()
        == batch["label"]
        for scoring in (SCORINGS if has_tokens else SCORINGS[:1])
    }
