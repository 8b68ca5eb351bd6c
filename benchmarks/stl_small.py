"""Does self-emerging token labeling help? A small reproduction on CIFAR-10.

FAN-T-Hybrid is trained with class labels only, as a token labeler, and as a student of that
labeler: the same images, epochs, batches, rates and seeds. Then each network classifies the test
images clean and with 19 corruptions of 5 severities. Every finished stage is remembered in the work
folder, and training goes on from its last epoch: after an interrupt the same command goes on.

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
    KINDS,
    PART,
    extract_images,
    folder_sha256,
    pack_scores,
    score,
    start_weights,
    train,
)
from stl_small_study import (
    PRESETS,
    Settings,
    Study,
    TimeIsUpError,
    check_time,
    write_json,
)

from stl_backbones.cli.tool import make_parser, run_tool
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
    add("--preset", choices=sorted(PRESETS), default="cpu", help="what the next ones start from")
    add("--classes", type=int, metavar="N", help="the first N by name")
    add("--train-per-class", type=int, metavar="N", help="training images of each class")
    add("--test-per-class", type=int, metavar="N", help="test images of each class")
    add("--size", type=int, metavar="PX", help="side of the network's images")
    add("--epochs", type=int, metavar="N", help="length of each training")
    add("--batch-size", type=int, metavar="N", help="images of a step")
    add("--lr", type=float, help="learning rate at that batch size")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings of each kind")
    add("--workers", type=int, default=0, help="processes that read and corrupt images")
    add("--time-limit", type=float, metavar="MINUTES", help="stop soon after so many")
    add("--report", action="store_true", help="only print the tables of what is finished")
    return parser


def main(args: argparse.Namespace) -> int:
    """Run what is missing, and print the tables; 3 if the time limit came first."""
    study = Study(args.work_dir)
    if not args.report:
        if args.archive is None:
            raise ValueError("the archive of images is missing; only --report needs none")
        study.begin(choose_settings(args), args.archive)
        minutes = float("inf") if args.time_limit is None else args.time_limit
        try:
            run(study, args, deadline=time.monotonic() + 60 * minutes)
        except TimeIsUpError:
            print(f"time limit reached; {GO_ON}", file=sys.stderr)
            return EXIT_UNFINISHED
    report(study, args.seeds)
    return 0


def choose_settings(args: argparse.Namespace) -> Settings:
    """The preset with what the command line changes."""
    names = {field.name for field in dataclasses.fields(Settings)}
    changes = {
        name: value for name, value in vars(args).items() if name in names and value is not None
    }
    return dataclasses.replace(PRESETS[args.preset], **changes)


def run(study: Study, args: argparse.Namespace, *, deadline: float) -> None:
    """Run all stages, seed by seed; finished ones are passed over.

    Raises:
        TimeIsUpError: If the deadline comes first.
        ValueError: If a finished stage rests on files that have changed since.
    """
    make_data(study, args.archive)
    data = {"data": folder_sha256(study.data)}
    common = {"data": data, "workers": args.workers, "deadline": deadline}
    for seed in args.seeds:
        score_seed(study, seed, checkpoints=train_seed(study, seed, **common), **common)


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


def train_seed(
    study: Study, seed: int, *, data: dict[str, str], workers: int, deadline: float
) -> dict[str, Path]:
    """Train the three networks of a seed; returns their checkpoints."""
    start = start_weights(study, seed)
    checkpoints: dict[str, Path] = {}
    for kind in KINDS:
        labeler = checkpoints["labeler"] if kind == "student" else None
        rests_on = data | {"start": file_sha256(start)}
        if labeler is not None:
            rests_on["labeler"] = file_sha256(labeler)
        stage = f"{kind}-seed{seed}"
        record = study.read(stage, rests_on=rests_on)
        if not record:
            check_time(deadline)
            say(f"{stage}: training")
            files = {"start": start, "labeler": labeler}
            record = train(study, kind, seed, **files, workers=workers, deadline=deadline)
            study.write(stage, record, rests_on=rests_on)
        checkpoints[kind] = study.run_folder(kind, seed) / record["checkpoint"]
    return checkpoints


def score_seed(
    study: Study,
    seed: int,
    *,
    checkpoints: dict[str, Path],
    data: dict[str, str],
    workers: int,
    deadline: float,
) -> None:
    """Score the three networks of a seed, some test images at a time."""
    rests_on = data | {kind: file_sha256(path) for kind, path in checkpoints.items()}
    for stage, part in score_stages(study, seed):
        if study.read(stage, rests_on=rests_on):
            continue
        check_time(deadline)
        say(f"{stage}: scoring {len(part)} images")
        begun = time.monotonic()
        content = pack_scores(score(study, checkpoints, part, workers=workers))
        write_atomically(study.stages / f"{stage}.npz", content)
        record = {"images": len(part), "minutes": (time.monotonic() - begun) / 60}
        study.write(stage, record, rests_on=rests_on)


def score_stages(study: Study, seed: int) -> list[tuple[str, range]]:
    """Name and test images of each scoring stage of a seed."""
    settings = study.settings()
    images = range(settings.classes * settings.test_per_class)
    starts = range(0, len(images), PART)
    return [
        (f"scores-seed{seed}-part{number}", images[start : start + PART])
        for number, start in enumerate(starts)
    ]


def report(study: Study, seeds: list[int]) -> None:
    """Print the tables of the seeds that are finished; write ``figures.json`` and ``tables.md``.

    Raises:
        ValueError: If none is.
    """
    settings = study.settings()
    finished = {}
    for seed in seeds:
        names = [name for name, _ in score_stages(study, seed)]
        if all(study.read(name) for name in names):
            paths = [study.stages / f"{name}.npz" for name in names]
            parts = [np.load(path, allow_pickle=False) for path in paths]
            finished[seed] = {k: np.concatenate([p[k] for p in parts], axis=1) for k in parts[0]}
    if not finished:
        raise ValueError(f"no seed of {seeds} is finished in '{study.folder}'; {GO_ON}")
    names = next(iter(finished.values()))
    correct = {name: np.stack([one[name] for one in finished.values()]) for name in names}
    figures: dict[str, Any] = {
        "settings": dataclasses.asdict(settings),
        "seeds": list(finished),
        "test_images": settings.classes * settings.test_per_class,
        "machine": study.read(f"student-seed{next(iter(finished))}")["machine"],
        "cost": {
            kind: [
                {key: record[key] for key in ("image_steps", "minutes")}
                for record in (study.read(f"{kind}-seed{seed}") for seed in finished)
            ]
            for kind in KINDS
        },
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
