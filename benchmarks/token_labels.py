"""How good are self-emerging token labels? The paper's claims about them, measured.

FAN labelers are trained in the ways of the paper's A.1, and a CNN beside them, on crops with one
object each. What they say of each token is compared with the masks of the objects: clean, in
the augmented views of 5.1, and after Gumbel-Softmax (3.2). Every finished stage is remembered in
the work folder, and training goes on from its last epoch: after an interrupt the same command goes
on.

  python benchmarks/token_labels.py --work-dir work_dirs/token_labels
  python benchmarks/token_labels.py --work-dir work_dirs/token_labels_coco --coco data/coco
  python benchmarks/token_labels.py --work-dir work_dirs/token_labels --report
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
from stl_small_stages import folder_sha256, pack_scores
from stl_small_study import TimeIsUpError, check_time, write_json
from token_labels_data import (
    CROPS,
    MASKS,
    CocoFile,
    find_coco,
    read_mask,
    write_coco,
    write_generated,
)
from token_labels_figures import best_places, make_figures, render
from token_labels_scoring import score
from token_labels_study import Settings, TokenStudy
from token_labels_training import KINDS, train

from stl_backbones.cli.tool import make_parser, run_tool
from stl_backbones.datasets.mini import GENERATOR_VERSION
from stl_backbones.errors import InputError
from stl_backbones.metrics.token_samples import foreground_tokens
from stl_backbones.models.hashing import file_sha256
from stl_backbones.results.atomic import write_atomically

EXIT_UNFINISHED = 3
GO_ON = "the same command goes on"


def parse() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--work-dir", type=Path, required=True, metavar="DIR", help="crops, networks, figures")
    add("--coco", type=Path, metavar="DIR", help="crops of COCO objects, not generated ones: "
        "annotations/instances_<name>.json and the images in <name>/")  # fmt: skip
    add("--classes", type=int, metavar="N", help="classes; of COCO the commonest")
    add("--train-per-class", type=int, metavar="N", help="training crops of each class")
    add("--test-per-class", type=int, metavar="N", help="scored crops of each class")
    add("--size", type=int, metavar="PX", help="side of a crop")
    add("--arch", metavar="NAME", help="the FAN of all labelers")
    add("--epochs", type=int, metavar="N", help="length of each training")
    add("--batch-size", type=int, metavar="N", help="crops of a step")
    add("--lr", type=float, help="learning rate at that batch size")
    add("--data-seed", type=int, metavar="N", help="of the generated crops, or of COCO's split")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings of each kind")
    add("--workers", type=int, default=0, help="processes that read crops")
    add("--time-limit", type=float, metavar="MINUTES", help="stop soon after so many")
    add("--report", action="store_true", help="only print the tables of what is finished")
    return parser


def main(args: argparse.Namespace) -> int:
    """Run what is missing, and print the tables; 3 if the time limit came first."""
    study = TokenStudy(args.work_dir)
    if not args.report:
        files = None if args.coco is None else find_coco(args.coco)
        study.compare({**dataclasses.asdict(choose_settings(args)), **made_of(files)})
        minutes = float("inf") if args.time_limit is None else args.time_limit
        try:
            run(study, args, files, deadline=time.monotonic() + 60 * minutes)
        except TimeIsUpError:
            print(f"time limit reached; {GO_ON}", file=sys.stderr)
            return EXIT_UNFINISHED
    report(study, args.seeds)
    return 0


def choose_settings(args: argparse.Namespace) -> Settings:
    """The defaults with what the command line changes."""
    names = {field.name for field in dataclasses.fields(Settings)}
    changes = {
        name: value for name, value in vars(args).items() if name in names and value is not None
    }
    return Settings(**{**changes, "source": "generated" if args.coco is None else "coco"})


def made_of(files: list[CocoFile] | None) -> dict[str, Any]:
    """What the crops are made of, for the folder's memory."""
    if files is None:
        return {"generator_version": GENERATOR_VERSION}
    return {"annotations": {file.path.name: file_sha256(file.path) for file in files}}


def run(
    study: TokenStudy, args: argparse.Namespace, files: list[CocoFile] | None, *, deadline: float
) -> None:
    """Run all stages, seed by seed; finished ones are passed over.

    Raises:
        TimeIsUpError: If the deadline comes first.
        ValueError: If a finished stage rests on files that have changed since.
    """
    make_data(study, files)
    data = {part: folder_sha256(study.data / part) for part in (CROPS, MASKS)}
    for seed in args.seeds:
        checkpoints = {}
        for kind in KINDS:
            stage = f"{kind}-seed{seed}"
            record = study.read(stage, rests_on=data)
            if not record:
                check_time(deadline)
                say(f"{stage}: training")
                record = train(study, kind, seed, workers=args.workers, deadline=deadline)
                study.write(stage, record, rests_on=data)
            checkpoints[kind] = study.run_folder(kind, seed) / record["checkpoint"]
        rests_on = data | {kind: file_sha256(path) for kind, path in checkpoints.items()}
        stage = f"labels-seed{seed}"
        if not study.read(stage, rests_on=rests_on):
            check_time(deadline)
            say(f"{stage}: labelling")
            begun = time.monotonic()
            write_atomically(
                study.stages / f"{stage}.npz", pack_scores(score(study, seed, checkpoints))
            )
            record = {"minutes": (time.monotonic() - begun) / 60}
            study.write(stage, record, rests_on=rests_on)


def make_data(study: TokenStudy, files: list[CocoFile] | None) -> None:
    """Write the crops, once."""
    if study.read("data"):
        return
    if study.data.exists():
        shutil.rmtree(study.data)
    say("data: writing crops and masks")
    settings = study.settings()
    counts = (
        write_generated(study.data, settings) if files is None
        else write_coco(study.data, files, settings)
    )  # fmt: skip
    study.write("data", {"crops": counts}, rests_on={})


def report(study: TokenStudy, seeds: list[int]) -> None:
    """Print the tables of the seeds that are finished; write ``figures.json`` and ``tables.md``.

    Raises:
        ValueError: If none is.
    """
    settings = study.settings()
    finished = [seed for seed in seeds if study.read(f"labels-seed{seed}")]
    if not finished:
        raise InputError(f"no seed of {seeds} is finished in '{study.folder}'; {GO_ON}")
    paths = [study.stages / f"labels-seed{seed}.npz" for seed in finished]
    found = [dict(np.load(path, allow_pickle=False)) for path in paths]
    grid = found[0]["cls/foreground"].shape[1:]
    crops = sorted((study.data / CROPS / "train").glob("*/*"))
    places = best_places(
        np.stack([foreground_tokens(read_mask(crop), grid, share=settings.share) for crop in crops])
    )
    stages = [f"{kind}-seed{seed}" for seed in finished for kind in (*KINDS, "labels")]
    figures: dict[str, Any] = {
        "settings": dataclasses.asdict(settings),
        "seeds": finished,
        "crops": study.read("data")["crops"],
        "machine": study.read(stages[0])["machine"],
        "minutes": {stage: study.read(stage)["minutes"] for stage in stages},
        **make_figures(found, places),
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
