"""Does self-emerging token labeling help? A small reproduction on CIFAR-10.

A FAN of a million parameters is trained with class labels only, for once and for twice the epochs,
as a token labeler, as a student of that labeler with Gumbel and with argmax labels, and as a
student of the first network's argmax labels: the same images, batches, rates and seeds. Then each
network classifies the test images clean and as in CIFAR-10-C, 19 corruptions of 5 severities.
Every finished stage is remembered in the work folder, and training goes on from its last epoch:
after an interrupt the same command goes on. Two processes may work in one folder on different
seeds, once the images are corrupted.

  python benchmarks/stl_small.py cifar10_train.tar.gz --work-dir work_dirs/stl_small
  python benchmarks/stl_small.py --work-dir work_dirs/stl_small --report
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from stl_small_figures import make_figures, render
from stl_small_stages import (
    ARMS,
    corrupt_images,
    extract_images,
    folder_sha256,
    label_shares,
    pack_scores,
    score,
    train,
    with_token_head,
)
from stl_small_study import (
    Settings,
    Study,
    TimeIsUpError,
    check_time,
    write_json,
)

from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.errors import InputError
from stl_backbones.models.hashing import file_sha256
from stl_backbones.results.atomic import write_atomically

EXIT_UNFINISHED = 3
GO_ON = "the same command goes on"


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("archive", type=Path, nargs="?", help="tar file of <folder>/<class>/<name>.jpg")
    add("--work-dir", type=Path, required=True, metavar="DIR", help="images, networks, figures")
    add("--classes", type=int, metavar="N", help="the first N by name")
    add("--train-per-class", type=int, metavar="N", help="training images of each class")
    add("--test-per-class", type=int, metavar="N", help="test images of each class")
    add("--arch", metavar="NAME", help="the network of all arms")
    add("--epochs", type=int, metavar="N", help="length of each training")
    add("--warmup-epochs", type=int, metavar="N", help="of it, with a rising rate")
    add("--batch-size", type=int, metavar="N", help="images of a step")
    add("--lr", type=float, help="learning rate at that batch size")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings of each arm")
    add(
        "--arms",
        nargs="+",
        choices=ARMS,
        default=list(ARMS),
        help="which are trained, scored, reported",
    )
    add("--workers", type=int, default=0, help="processes that read images")
    add("--time-limit", type=float, metavar="MINUTES", help="stop soon after so many")
    add("--report", action="store_true", help="only print the tables of what is finished")
    return parser


def main(args: argparse.Namespace) -> int:
    """Run what is missing, and print the tables; 3 if the time limit came first."""
    study = Study(args.work_dir)
    if not args.report:
        if args.archive is None:
            raise InputError("the archive of images is missing; only --report needs none")
        study.begin(choose_settings(args), args.archive)
        minutes = float("inf") if args.time_limit is None else args.time_limit
        try:
            run(study, args, deadline=time.monotonic() + 60 * minutes)
        except TimeIsUpError:
            print(f"time limit reached; {GO_ON}", file=sys.stderr)
            return EXIT_UNFINISHED
    report(study, args.seeds, args.arms)
    return 0


def choose_settings(args: argparse.Namespace) -> Settings:
    """The defaults with what the command line changes."""
    names = {field.name for field in dataclasses.fields(Settings)}
    changes = {
        name: value for name, value in vars(args).items() if name in names and value is not None
    }
    return Settings(**changes)


def run(study: Study, args: argparse.Namespace, *, deadline: float) -> None:
    """Run all stages, seed by seed; finished ones are passed over.

    Raises:
        TimeIsUpError: If the deadline comes first.
        ValueError: If a finished stage rests on files that have changed since.
    """
    make_data(study, args.archive)
    data = {"data": folder_sha256(study.data)}
    cells = make_cells(study, data=data)
    for seed in args.seeds:
        for arm in args.arms:
            checkpoint = train_arm(
                study, arm, seed, data=data, workers=args.workers, deadline=deadline
            )
            score_arm(study, arm, seed, checkpoint=checkpoint, cells=cells, deadline=deadline)
        look_at_labels(study, seed)


def make_data(study: Study, archive: Path) -> None:
    """Extract the images, once."""
    rests_on = {"archive": file_sha256(archive)}
    if study.read("data", rests_on=rests_on):
        return
    if study.data.exists():
        shutil.rmtree(study.data)
    say("data: extracting images")
    counts = extract_images(archive, study.data, study.settings())
    study.write("data", {"images": counts}, rests_on=rests_on)


def make_cells(study: Study, *, data: dict[str, str]) -> Path:
    """Corrupt the test images, once; returns the file."""
    path = study.folder / "cells.npy"
    if not study.read("cells", rests_on=data):
        say("cells: corrupting the test images")
        begun = time.monotonic()
        corrupt_images(study, path)
        study.write("cells", {"minutes": (time.monotonic() - begun) / 60}, rests_on=data)
    return path


def train_arm(
    study: Study, arm: str, seed: int, *, data: dict[str, str], workers: int, deadline: float
) -> Path:
    """Train one network of a seed, after the one that labels its tokens; returns its checkpoint."""
    teacher, labeler, rests_on = ARMS[arm].labeler, None, dict(data)
    if teacher:
        labeler = train_arm(study, teacher, seed, data=data, workers=workers, deadline=deadline)
        rests_on["labeler"] = file_sha256(labeler)
    stage = f"{arm}-seed{seed}"
    record = study.read(stage, rests_on=rests_on)
    if not record:
        check_time(deadline)
        if teacher == "class_only":
            labeler = with_token_head(labeler, study.folder / f"runs/plain-labeler-seed{seed}.pth")
        say(f"{stage}: training")
        record = train(study, arm, seed, labeler=labeler, workers=workers, deadline=deadline)
        study.write(stage, record, rests_on=rests_on)
    return study.run_folder(arm, seed) / record["checkpoint"]


def score_arm(
    study: Study, arm: str, seed: int, *, checkpoint: Path, cells: Path, deadline: float
) -> None:
    """Score one network of a seed on all cells."""
    stage = f"scores-{arm}-seed{seed}"
    rests_on = {"network": file_sha256(checkpoint)}
    if study.read(stage, rests_on=rests_on):
        return
    check_time(deadline)
    say(f"{stage}: scoring")
    begun = time.monotonic()
    content = pack_scores(score(study, arm, checkpoint, cells))
    write_atomically(study.stages / f"{stage}.npz", content)
    study.write(stage, {"minutes": (time.monotonic() - begun) / 60}, rests_on=rests_on)


def look_at_labels(study: Study, seed: int) -> None:
    """How right the labels are that the students of a seed learn from."""
    plain = study.read(f"class_only-seed{seed}")
    trained = study.read(f"labeler-seed{seed}")
    stage = f"labels-seed{seed}"
    if not (plain and trained):
        return
    rests_on = {"class_only": plain["sha256"], "labeler": trained["sha256"]}
    if study.read(stage, rests_on=rests_on):
        return
    say(f"{stage}: labelling the training images")
    made = with_token_head(
        study.run_folder("class_only", seed) / plain["checkpoint"],
        study.folder / f"runs/plain-labeler-seed{seed}.pth",
    )
    shares = {
        "labeler": label_shares(study, study.run_folder("labeler", seed) / trained["checkpoint"]),
        "class_only": label_shares(study, made),
    }
    study.write(stage, {"shares": shares}, rests_on=rests_on)


def report(study: Study, seeds: list[int], arms: list[str]) -> None:
    """Print the tables of the seeds that are finished; write ``figures.json`` and ``tables.md``.

    A seed is finished if all of these arms are scored.

    Raises:
        ValueError: If none is.
    """
    settings = study.settings()
    finished = {}
    for seed in seeds:
        names = [f"scores-{arm}-seed{seed}" for arm in arms]
        if all(study.read(name) for name in names):
            parts = [np.load(study.stages / f"{name}.npz", allow_pickle=False) for name in names]
            finished[seed] = {key: part[key] for part in parts for key in part}
    if not finished:
        raise InputError(
            f"no seed of {seeds} is finished in '{study.folder}', with arms {', '.join(arms)}; "
            f"{GO_ON}"
        )
    names = next(iter(finished.values()))
    correct = {name: np.stack([one[name] for one in finished.values()]) for name in names}
    figures: dict[str, Any] = {
        "settings": dataclasses.asdict(settings),
        "seeds": list(finished),
        "test_images": settings.classes * settings.test_per_class,
        "machine": study.read(f"{arms[0]}-seed{next(iter(finished))}")["machine"],
        "cost": {
            arm: [
                {key: record[key] for key in ("image_steps", "minutes")}
                for record in (study.read(f"{arm}-seed{seed}") for seed in finished)
            ]
            for arm in arms
        },
        "labels": [study.read(f"labels-seed{seed}").get("shares", {}) for seed in finished],
        **make_figures(correct),
    }
    write_json(study.folder / "figures.json", figures)
    tables = render(figures)
    write_atomically(study.folder / "tables.md", tables.encode())
    print(tables)


def say(line: str) -> None:
    """Print with the time."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    raise SystemExit(run_tool(parse(), main, after_interrupt=GO_ON))
