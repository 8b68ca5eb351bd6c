"""Wrong command lines: every option of every tool with wrong values, and words that do not fit."""

from __future__ import annotations

import argparse
import functools
import random
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from faults.bad_input import BadInput
from faults.forkserver import ROOT
from faults.material import Material
from faults.sweeps import write_sweep

GROUP = "command lines"
TOOLS = tuple(sorted(path.name for path in (ROOT / "tools").glob("*.py")))
SEGMENTATION = ROOT / "configs/seg/stl_fan_t_mini.py"
DETECTION = ROOT / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"
LABELER = ROOT / "configs/cls/stl_fan_t_mini_labeler.py"

_BRIEF = ("--corruptions", "contrast", "--severities", "1")

_DEVICE = (("tpu", "got 'tpu'"), ("cuda:x", "got 'cuda:x'"))
# Option -> wrong values and what the line must say of them, a pair of texts each. In the texts
# stand for themselves: {folder} the place of generated files, {data} the data sets.
Wrong = Mapping[str, tuple[tuple[str, str], ...]]

_NOT_WHOLE = (("many", "whole number, got 'many'"), ("1e9", "got '1e9'"), ("''", "got ''"))
_COUNT = (("0", "at least 1, got '0'"), ("-3", "at least 1, got '-3'"), ("nan", "got 'nan'"))
_SEED = (("-1", "got '-1'"), ("inf", "whole number"))
_PLACE = (
    ("{folder}/file.txt", "file.txt"),
    ("{folder}/file.txt/below", "file.txt/below"),
    ("/proc/nosuch/below", "/proc/nosuch"),
)  # fmt: skip
_MODULES = (
    ("nosuchmodule", "there is no module 'nosuchmodule'"),
    ("{folder}/nosuch.py", "does not exist"),
    ("{folder}/syntax.py", "syntax.py"),
    ("{folder}/raises.py", "raises.py"),
    ("{folder}/exits.py", "exits.py"),
    ("''", "--custom-imports"),
)  # fmt: skip
_CORRUPTIONS: Wrong = {
    "--protocol": (("nosuch", "unknown protocol 'nosuch'; expected one of"), ("''", "''")),
    "--corruptions": (("nosuch", "unknown corruption 'nosuch'"), ("fogg", "did you mean"),
                      ("''", "some text, got ''")),
    "--severities": (("0", "in 1..5, got '0'"), ("6", "in 1..5, got '6'"), ("-1 3", "got '-1'"),
                     ("5.01", "got '5.01'")),
    "--levels": (("fog_depth", "NAME=LEVEL,LEVEL"), ("nosuch=5m", "unknown corruption 'nosuch'"),
                 ("fog=50m", "has no levels in a unit"), ("fog_depth=50", "are in m"),
                 ("fog_depth=xm", "number"), ("fog_depth=1m", "fog_depth"),
                 ("''", "some text, got ''")),
    "--limit": (*_NOT_WHOLE, *_COUNT),
    "--mode": (("slow", "'slow'"), ("''", "''")),
    "--compat": (("other", "imaug-1.1.5"),),
    "--channel-order": (("gbr", "'gbr'"), ("''", "''")),
    "--seed": _SEED,
    "--depth": (("/nosuch", "--depth: folder '/nosuch' does not exist"),
                ("{folder}/file.txt", "file.txt"), ("''", "some text")),
    "--custom-imports": _MODULES,
}  # fmt: skip
_CHANGES = (
    ("num_workers", "takes NAME=VALUE, got 'num_workers'"),
    ("num_workerz=0", "did you mean num_workers"),
    ("=3", "NAME=VALUE"),
    ("num_workers=many", "a number"),
    ("model.backbone.drop_path_rat=0.1", "drop_path_rat"),
    ("'img_scale=(128,64'", "img_scale"),
    ("model.backbone.type.x=1", "plain value"),
    ("train_dataloader.dataset.pipeline.99.x=1", "must be 0..6"),
    ("data_root=/nosuch", "/nosuch"),
)  # fmt: skip
_AMP = (
    ("float64", "takes bfloat16 or float16"), ("float16", "needs a GPU"),
    ("''", "some text"),
)  # fmt: skip
_LAUNCHER = (
    ("ssh", "invalid choice: 'ssh'"),
    ("pytorch", "RANK"), ("slurm", "SLURM_PROCID"), ("mpi", "OMPI_COMM_WORLD_RANK"),
)  # fmt: skip

WRONG: Mapping[str, Wrong] = {
    "robustness.py": {
        **_CORRUPTIONS,
        "--corrupted-root": (("/nosuch", "/nosuch"), ("{folder}/file.txt", "file.txt"),
                             ("{folder}/empty", "empty")),
        "--preset": (("nosuch", "one model"), ("segformer-b0", "one model")),
        "--checkpoint": (("{folder}/file.txt", "needs one checkpoint"),),
        "--data-root": (("/nosuch", "/nosuch"), ("{folder}/file.txt", "file.txt"),
                        ("{folder}/empty", "empty")),
        "--batch-size": (*_NOT_WHOLE, *_COUNT),
        "--tta": (("yes", "unrecognized arguments: yes"),),
        "--name": (("''", "--name"),),
        "--workers": (*_NOT_WHOLE[:1], ("-1", "in 0..1024, got '-1'"), ("100000", "100000")),
        "--until": (("average", "takes 'average >= 0.60'"), ("'clean +- 0'", "above 0"),
                    ("'average >= 60'", "lies in 0..1")),
        "--alpha": (("0.1", "--until stops a sweep, which is not given"), ("x", "got 'x'")),
        "--covariate": (("confidence", "--until stops a sweep, which is not given"),
                        ("nll", "invalid choice: 'nll'")),
        "--order-seed": (("1", "--until stops a sweep, which is not given"), ("-1", "got '-1'")),
        "--work-dir": _PLACE,
        "--cfg-options": _CHANGES,
        "--launcher": _LAUNCHER,
        "--timm": (("resnet18", "one model"),),
        "--classes": (("{data}/imagenet/val", "not an option"),),
        "--sets": (("{data}/imagenet/val", "no folder is called"), ("''", "some text")),
        "--image-list": (("/nosuch", "/nosuch"), ("{folder}/empty", "empty"),
                         ("{folder}/file.txt", "not in")),
        "--imagenet-a": (("{data}/imagenet/val", "not an option"),),
        "--amp": _AMP, "--device": _DEVICE,
        "--imagenet-r": (("{data}/imagenet/val", "not an option"),),
        "--scoring": (("sum", "invalid choice: 'sum'"), ("cls", "not an option")),
        "--input-size": (("64", "not an option"), ("x", "got 'x'")),
        "--crop-pct": (("0.9", "not an option"), ("nan", "a number, got 'nan'")),
        "--interpolation": (("bilinear", "not an option"),),
        "--mean": (("0 0 0", "not an option"), ("0 0", "expected 3"), ("0 0 inf", "'inf'")),
        "--std": (("1 1 1", "not an option"), ("x x x", "a number, got 'x'")),
        "--resize-rule": (("none", "invalid choice"), ("model", "not an option")),
        "--jpeg85": (("", "not an option"),),
        "--allow-missing": (("", "not an option"),),
        "--model": (("x.onnx", "one model"), ("''", "some text")),
        **dict.fromkeys(
            ("--images", "--truth", "--model-classes", "--model-version",
             "--label-ids", "--preprocess", "--decoder", "--providers"),
            (("x", "only with --model"),),
        ),
        "--model-channel-order": (("gbr", "'gbr'"), ("bgr", "only with --model")),
        "--vis-backends": (("Tensorboard", "did you mean TensorboardVisBackend"), ("''", "''")),
    },
    "generate_corruptions.py": {
        **_CORRUPTIONS,
        "--layout": (("voc", "'voc'"), ("''", "layout"), ("imagenet", "imagenet")),
        "--split": (("nosuch", "nosuch"), ("''", "split"), ("../val", "../val")),
        "--format": (("gif", "gif"), ("jpeg", "jpeg")),
        "--workers": (*_NOT_WHOLE, ("0", "in 1..1024, got '0'"), ("-3", "got '-3'")),
        "--shard": (("0/3", "0/3"), ("4/3", "4/3"), ("1", "i/n"), ("1/0", "1/0"), ("a/b", "a/b"),
                    ("''", "some text"), ("-1/3", "--shard"), ("²/3", "²/3")),
    },
    "train.py": {
        "--amp": _AMP, "--device": _DEVICE,
        "--data-root": (("/nosuch", "/nosuch"), ("{folder}/empty", "empty")),
        "--resume": (("/nosuch.pth", "/nosuch.pth"), ("", "nothing to resume"),
                     ("{folder}/empty", "empty"), ("{folder}/file.txt", "no checkpoint")),
        "--work-dir": _PLACE,
        "--cfg-options": _CHANGES,
        "--launcher": _LAUNCHER,
    },
    "test.py": {
        "--out": (("{folder}/found.pkl", "go into a folder"),),
        "--show-dir": (("{folder}/file.txt", "file.txt"),),
        "--amp": _AMP, "--device": _DEVICE,
        "--data-root": (("/nosuch", "/nosuch"), ("{folder}/empty", "empty")),
        "--work-dir": _PLACE, "--cfg-options": _CHANGES, "--launcher": _LAUNCHER,
    },
    "pretrain.py": {
        "--resume": (("/nosuch.pth", "/nosuch.pth"), ("", "nothing to resume"),
                     ("{folder}/file.txt", "no checkpoint")),
        "--amp": _AMP, "--device": _DEVICE,
        "--data-root": (("/nosuch", "/nosuch"), ("{folder}/empty", "empty")),
        "--work-dir": _PLACE,
        "--cfg-options": (("epocs=3", "did you mean epochs"), ("data_root=/nosuch", "/nosuch"),
                          ("model.arch=huge", "huge"), ("batch_size=0", "batch_size"),
                          ("lr=fast", "lr"), ("epochs=0", "epochs"), ("batch_size=9999", "9999")),
        "--launcher": _LAUNCHER,
    },
    "report.py": {
        "--out": _PLACE,
        "--protocol": (("nosuch", "unknown protocol 'nosuch'"), ("''", "''")),
        "--custom-imports": _MODULES,
        "--names": (("a b", "2"), ("''", "name")),
        "--precision": (("-1", "0"), ("7", "7"), ("x", "got 'x'"), ("1.5", "got '1.5'")),
        "--slices": (("nosuch", "expected a CSV file"), ("{folder}/empty", "expected a CSV file"),
                     ("{folder}/file.txt", "file.txt"), ("brightness", "no clean cell has"),
                     ("class-share:nosuch", "nosuch"), ("''", "expected a CSV file")),
        "--mean": (("winter", "takes NAME=CORRUPTION"), ("average=fog", "has this name"),
                   ("winter=smoke", "unknown corruption 'smoke'"), ("''", "''")),
        "--require": (("nonsense", "nonsense"), ("'average >= much'", "much"),
                      ("'nosuch >= 0.1'", "nosuch"), ("'average >= nan'", "nan"),
                      ("'average > = 1'", "average > = 1"), ("''", "''"),
                      ("'fog/9 >= 0.1'", "fog/9"),
                      ("'class:nosuch:fog >= 0.1'", "unknown class 'nosuch'"),
                      ("'class:*:nosuch >= 0.1'", "unknown place 'nosuch'"),
                      ("'break:fog >= 3'", "needs --breaking-point"),
                      ("'average >= 60'", "60")),
        "--breaking-point": (("half", "got 'half'"), ("50%", "got '50%'"), ("''", "''"),
                             ("'0% of clean'", "more than 0%"), ("50", "0.5 for 50 %")),
        "--resamples": (("-1", "-1"), ("x", "got 'x'"), ("1000000000000", "1000000000000")),
        "--compare": (("", "two"),),
        "--published": (("nosuch", "unknown source of published numbers 'nosuch'"),
                        ("timm", "no numbers of segmentation"), ("''", "''")),
        "--real-labels": (("/nosuch", "there is no such file"), ("{folder}/file.txt", "file.txt")),
    },
    "bundle.py": {
        "--out": (("{folder}/file.txt", "ends in .bundle.zip"), ("''", "some text")),
        "--custom-imports": _MODULES,
    },
    "show_failures.py": {
        "--cells": (("fog", "CORRUPTION/SEVERITY"), ("nosuch/5", "unknown corruption"),
                    ("fog/9", "has no cell"), ("''", "''")),
        "--count": (*_NOT_WHOLE, ("0", "in 1..10000, got '0'")),
        "--by": (("best", "must be drop, worst, random"), ("class:nosuch", "unknown class"),
                 ("''", "''")),
        "--min-score": (("x", "a number, got 'x'"), ("3", "in 0..1, got 3.0")),
        "--format": (("gif", "png or jpeg, got 'gif'"), ("''", "''")),
        "--out": _PLACE,
        "--custom-imports": _MODULES,
        "--device": _DEVICE,
    },
    "show_corruptions.py": {
        **{name: _CORRUPTIONS[name] for name in (
            "--protocol", "--corruptions", "--severities", "--levels", "--mode", "--compat",
            "--seed", "--depth", "--custom-imports")},
        "--width": (("31", "in 32..16384, got '31'"), ("x", "got 'x'")),
        "--panel": (("5000", "in 32..4096, got '5000'"), ("x", "got 'x'")),
        "--out": (("{folder}/sheet.gif", "must end in"), ("/proc/nosuch/x.png", "/proc/nosuch")),
    },
    "export_onnx.py": {
        "--size": (("0 0", "at least 1, got '0'"), ("-32 32", "got '-32'"), ("32", "expected 2"),
                   ("a b", "got 'a'"), ("8 8", "at least 32, got 8x8"),
                   ("99999999 99999999", "99999999")),
        "--batch": (*_COUNT, ("999999999999", "999999999999")),
        "--opset": (("3", "18"), ("99", "99"), ("x", "got 'x'")),
        "--backbone": (("--labels", "not allowed with"),),
        "--labels": (("", "segmentation model"),),
        "--cfg-options": (("a=1", "model's name"), ("a", "NAME=VALUE, got 'a'")),
        "--quantise": (("int4", "'int4'"), ("int8", "--calibration")),
        "--calibration": (("/nosuch", "--quantise"),),
        "--calibration-images": (("0", "at least 1, got '0'"), ("5", "--quantise")),
    },
    "make_mini_data.py": {
        "--seed": _SEED,
        "--train": (("0", "0"), ("-1", "-1"), *_NOT_WHOLE, ("999999999999", "999999999999")),
        "--val": (("0", "0"), ("-1", "-1"), ("x", "got 'x'")),
        "--size": (("0x0", "0x0"), ("64", "WIDTHxHEIGHT"), ("axb", "axb"), ("64x-1", "64x-1"),
                   ("1e3x64", "1e3x64"), ("99999999x99999999", "99999999"), ("''", "''"),
                   ("²x64", "²x64"), ("64x64x64", "64x64x64")),
    },
    "visualize_token_labels.py": {
        "--out": _PLACE,
        "--masks": (("/nosuch", "--masks '/nosuch' does not exist"), ("''", "some text"),
                    ("{folder}/file.txt", "no JSON"), ("{folder}/empty", "--label CLASS")),
        "--pictures": (("-1", "got '-1'"), ("x", "got 'x'"), ("0", "--masks PATH")),
        "--corruption": (("nosuch", "unknown corruption 'nosuch'"), ("''", "''")),
        "--severity": (("0", "1..5, got '0'"), ("6", "1..5, got '6'"), ("x", "got 'x'")),
        "--label": (("99999", "99999"), ("nosuch", "nosuch"), ("-1", "-1"), ("''", "''"),
                    ("²", "²")),
        "--size": (("16", "in 32..4096, got '16'"), ("-1", "got '-1'"), ("x", "got 'x'"),
                   ("9999999", "9999999")),
        "--threshold": (("2", "0..1, got 2"), ("-0.1", "got -0.1"), ("nan", "got 'nan'")),
        "--seed": (*_SEED, (str(2**70), "seed")),
        "--custom-imports": _MODULES,
    },
    "demo.py": {
        "--out": _PLACE,
        "--iterations": (("0", "at least 1, got '0'"), ("-5", "got '-5'"), ("x", "got 'x'")),
        "--limit": (("0", "at least 1, got '0'"), ("-1", "got '-1'"), ("1e9", "got '1e9'")),
    },
    "demo_classifier.py": {
        "--out": _PLACE,
        "--images": (("nosuch", "does not exist"), ("''", "some text, got ''")),
    },
    "convert_checkpoint.py": {},
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command line that would do something, and the results that it must not leave if refused."""

    words: tuple[str, ...]
    results: tuple[Path, ...]


def find_parser(tool: str) -> argparse.ArgumentParser:
    """The parser that a tool gives to `run_tool`."""
    module = import_module(f"stl_backbones.cli.commands.{Path(tool).stem}")
    parser: argparse.ArgumentParser = module.parse()
    return parser


@functools.cache
def options_of(tool: str) -> Mapping[str, int | str | None]:
    """Long option -> how many words it takes, as `argparse` writes it."""
    return {
        action.option_strings[-1]: action.nargs
        for action in find_parser(tool)._actions
        if action.option_strings and action.dest != "help"
    }


def commands(material: Material, place: Path) -> dict[str, Command]:
    """A right command line of each tool, whose results go below a place."""
    run, copy, file = place / "run", place / "copy", place / "file"
    sweep = material.root / "sweep"
    place.mkdir(parents=True, exist_ok=True)
    image = min((material.data / "imagenet/val").rglob("*.JPEG"))
    checkpoints = (run / "last_checkpoint",)
    all_words: dict[str, tuple[list[object], tuple[Path, ...]]] = {
        "robustness.py": ([*material.segmenter(), "--work-dir", run, *_BRIEF], (run,)),
        "generate_corruptions.py": (
            [material.data / "cityscapes", copy, "--layout", "cityscapes", "--limit", 1,
             "--corruptions", "contrast", "--severities", 1, "--workers", 1], (copy,)),
        "train.py": ([SEGMENTATION, "--work-dir", run, "--cfg-options",
                      *material.segmentation_options(), "max_iters=4", "warmup_iters=1"],
                     checkpoints),
        "test.py": (["--work-dir", run, *material.segmenter()], ()),
        "pretrain.py": ([LABELER, "--work-dir", run, "--cfg-options",
                         *material.pretraining_options("labeler")], checkpoints),
        "report.py": ([sweep, "--out", run, "--partial"], (run,)),
        "bundle.py": ([sweep, "--out", place / "x.bundle.zip"], (place / "x.bundle.zip",)),
        "show_failures.py": (
            [sweep, "--out", run, "--cells", "fog/5", "--by", "random", "--",
             *material.segmenter(),
             "--workers", 0], (run / "index.json",)),
        "show_corruptions.py": ([image, "--out", file.with_suffix(".png"), *_BRIEF],
                                (file.with_suffix(".png"),)),
        "export_onnx.py": (["fan_tiny_8_p4_hybrid", file.with_suffix(".onnx"), "--size", 32, 32],
                           (file.with_suffix(".onnx"),)),
        "make_mini_data.py": ([run, "--train", 2, "--val", 1, "--size", "64x64"], (run,)),
        "visualize_token_labels.py": (
            [material.weights("labeler"), image, "--out", run, "--size", 64], (run,)),
        "demo.py": (["--out", run], (run,)),
        "demo_classifier.py": (["--out", run], (run,)),
        "convert_checkpoint.py": ([material.weights("labeler"), file], (file,)),
    }  # fmt: skip
    return {
        tool: Command((f"tools/{tool}", *map(str, words)), results)
        for tool, (words, results) in all_words.items()
    }


def cases(material: Material, folder: Path, *, seed: int | None = None) -> Iterator[BadInput]:
    """All of them, or, with a seed, one wrong value of each option, another one each time."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (material.root / "sweep").exists():
        write_sweep(material.root / "sweep")
    _write_files(folder)
    yield from _generic(material, folder)
    yield from _wrong_values(material, folder, seed)
    yield from _positionals(material, folder)
    yield from _contradictions(material, folder)
    yield from _classifier_options(material, folder)


def _write_files(folder: Path) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "file.txt").write_text("no folder and no checkpoint\n")
    (folder / "syntax.py").write_text("def broken(:\n")
    (folder / "raises.py").write_text("1 / 0\n")
    (folder / "exits.py").write_text("raise SystemExit(0)\n")


def _generic(material: Material, folder: Path) -> Iterator[BadInput]:
    """A flag of each tool with a value, and an option that it has not; tests do it for all."""
    for tool in TOOLS:
        command = commands(material, folder / f"generic_{tool}")[tool]
        flag = [option for option, count in options_of(tool).items() if count == 0][-1]
        yield BadInput(
            GROUP, f"{tool} {flag}=yes", [*command.words, f"{flag}=yes"],
            (flag, "ignored explicit argument"), untouched=command.results,
        )  # fmt: skip
        yield BadInput(
            GROUP, f"{tool}: an option that does not exist", [*command.words, "--nosuch", "3"],
            ("unrecognized arguments: --nosuch 3",), untouched=command.results,
        )  # fmt: skip


def _wrong_values(material: Material, folder: Path, seed: int | None) -> Iterator[BadInput]:
    rng = random.Random(seed)
    for tool, wrong in WRONG.items():
        for option, values in wrong.items():
            tried = values if seed is None else [rng.choice(values)]
            for number, (value, says) in enumerate(tried):
                place = folder / f"{tool}{option}_{number}"
                yield _wrong_value(material, place, tool, option, value, says)


def _wrong_value(
    material: Material, place: Path, tool: str, option: str, value: str, says: str
) -> BadInput:
    command = commands(material, place)[tool]
    filled = value.format(folder=place.parent, data=material.data)
    results = command.results
    if option in ("--work-dir", "--out"):
        results = (place / "run", place.parent / "file.txt/below")
    words = _with_changes([*command.words], option, shlex.split(filled))
    return BadInput(
        GROUP, f"{tool} {option} {filled.replace(str(place.parent), '.')}", words, (says,),
        untouched=results,
    )  # fmt: skip


def _with_changes(words: list[str], option: str, values: list[str]) -> list[str]:
    """The words with an option; of --cfg-options the right ones stay."""
    if option == "--cfg-options" and option in words:
        at = words.index(option) + 1
        names = {value.partition("=")[0] for value in values}
        kept = [word for word in words[at:] if word.partition("=")[0] not in names]
        return [*words[:at], *values, *kept]
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], option, *values, *words[end:]]


def _positionals(material: Material, folder: Path) -> Iterator[BadInput]:
    needed = {
        "convert_checkpoint.py": "src, dst", "export_onnx.py": "CONFIG_OR_NAME",
        "generate_corruptions.py": "SRC", "make_mini_data.py": "out", "pretrain.py": "config",
        "report.py": "DIR", "robustness.py": "expected one model", "test.py": "config, checkpoint",
        "train.py": "config", "visualize_token_labels.py": "checkpoint, IMAGE",
        "show_failures.py": "DIR", "show_corruptions.py": "IMAGE",
    }  # fmt: skip
    for tool, says in needed.items():
        sizes = ["--size", "32", "32"] if tool == "export_onnx.py" else []
        yield BadInput(GROUP, f"{tool} without words", [f"tools/{tool}", *sizes], (says,))
    for tool in sorted({*TOOLS} - {"report.py", "visualize_token_labels.py"}):
        command = commands(material, folder / f"many_{tool}")[tool]
        flag = "--debug"  # so that the words do not belong to an option of several
        yield BadInput(
            GROUP, f"{tool} with a word too many", [*command.words, flag, "one", "two", "three"],
            ("unrecognized arguments", "three"), untouched=command.results,
        )  # fmt: skip
    config, weights = str(SEGMENTATION), str(material.weights("segmenter"))
    swallowed = {
        "--severities 1 4": "put the others first, or after '--'",
        "--corruptions fog": "words after --corruptions",
        "--cfg-options num_workers=0": "words after --cfg-options",
    }
    for option, says in swallowed.items():
        yield BadInput(
            GROUP, f"robustness.py {option} CONFIG CHECKPOINT",
            ["tools/robustness.py", *option.split(), config, weights], (says,),
        )  # fmt: skip
    yield BadInput(
        GROUP, "train.py --resume CONFIG", ["tools/train.py", "--resume", config],
        ("required: config", "words after --resume"),
    )  # fmt: skip


def _contradictions(material: Material, folder: Path) -> Iterator[BadInput]:
    config, weights = str(SEGMENTATION), str(material.weights("segmenter"))
    sweep, classes = str(material.root / "sweep"), str(material.classes)
    data, copy = material.data / "cityscapes", folder / "contradictory_copy"
    layout = ["--layout", "cityscapes"]
    made = str(folder / "made")
    table: dict[str, tuple[list[object], str]] = {
        "a config and a preset": (
            ["robustness.py", config, weights, "--preset", "convnext-t"], "got config and preset"),
        "a preset and a timm name": (
            ["robustness.py", "--preset", "convnext-t", "--timm", "resnet18"], "timm and preset"),
        "a preset of Table 4 without weights": (
            ["robustness.py", "--preset", "segformer-b0", "--data-root", data],
            "cannot be fetched"),
        "a config without checkpoint": (["robustness.py", config], "needs one checkpoint"),
        "a config with --checkpoint": (
            ["robustness.py", config, weights, "--checkpoint", weights], "needs one checkpoint"),
        "timm without data": (["robustness.py", "--timm", "resnet18"], "--data-root"),
        "timm with --cfg-options": (
            ["robustness.py", "--timm", "resnet18", "--data-root", classes, "--cfg-options", "a=1"],
            "--cfg-options"),
        "a library that is none": (["robustness.py", "mmcls::x", weights], "mmseg, mmdet"),
        "a config that mmseg has not": (
            ["robustness.py", "mmseg::fcn/fcn_r50.py", weights], "mmseg has no config"),
        "a config that mmdet has not": (
            ["robustness.py", "mmdet::nosuch", weights], "mmdet has no config"),
        "a protocol of another task": (
            ["robustness.py", *material.segmenter(), "--protocol", "imagenet-c", "--corruptions",
             "spatter", "--work-dir", made], "spatter"),
        "torch engine for files": (
            ["generate_corruptions.py", data, copy, *layout, "--mode", "torch"], "use 'fast'"),
        "no output": (["generate_corruptions.py", data, *layout], "OUT is missing"),
        "no layout": (["generate_corruptions.py", data, copy], "--layout is missing"),
        "a source that is not there": (["generate_corruptions.py", "/nosuch", copy, *layout],
                                       "/nosuch"),
        "a source that is a file": (
            ["generate_corruptions.py", folder / "file.txt", copy, *layout], "file.txt"),
        "an empty source": (["generate_corruptions.py", folder / "empty", copy, *layout], "empty"),
        "an output that is a file": (
            ["generate_corruptions.py", data, folder / "file.txt", *layout], "file.txt"),
        "an output below a file": (
            ["generate_corruptions.py", data, folder / "file.txt/x", *layout], "file.txt"),
        "an output in the source": (
            ["generate_corruptions.py", data, data / "c", *layout], "inside the source"),
        "the source as output": (
            ["generate_corruptions.py", data, data, *layout], "inside the source"),
        "--verify of what is no copy": (["generate_corruptions.py", "--verify", data], "manifest"),
        "--verify of nothing": (["generate_corruptions.py", "--verify", "/nosuch"], "/nosuch"),
        "--verify with --dry-run": (
            ["generate_corruptions.py", "--verify", "--dry-run", data], "no finished"),
        "--compare of one": (["report.py", sweep, "--partial", "--compare"], "two"),
        "--compare without resamples": (
            ["report.py", sweep, sweep, "--partial", "--compare", "--resamples", "0"], "--compare"),
        "--require-lower-bound alone": (
            ["report.py", sweep, "--partial", "--require-lower-bound", "--out", made],
            "--require"),
        "a folder that is no sweep": (["report.py", folder / "empty"], "holds no sweep"),
        "a file for a sweep": (["report.py", folder / "file.txt"], "is no bundle"),
        "missing cells": (["report.py", sweep, "--out", made], "--partial"),
        "an ONNX file of another ending": (
            ["export_onnx.py", "fan_tiny_8_p4_hybrid", folder / "x.txt", "--size", 32, 32],
            ".onnx"),
        "an ONNX file in no folder": (
            ["export_onnx.py", "fan_tiny_8_p4_hybrid", "/nosuch/x.onnx", "--size", 32, 32],
            "/nosuch"),
        "an unknown network": (
            ["export_onnx.py", "resnet18", folder / "x.onnx", "--size", 32, 32], "resnet18"),
        "a config without checkpoint to export": (
            ["export_onnx.py", config, folder / "x.onnx", "--size", 32, 32], "needs a checkpoint"),
        "a detector to export whole": (
            ["export_onnx.py", DETECTION, material.weights("detector"), folder / "x.onnx",
             "--size", 64, 64], "--backbone"),
        "a converted file in no folder": (
            ["convert_checkpoint.py", weights, "/nosuch/x.pth"], "/nosuch"),
        "a converted file over its source": (
            ["convert_checkpoint.py", weights, weights], "not the source"),
        "a folder for the converted file": (
            ["convert_checkpoint.py", weights, folder / "empty"], "not a folder"),
        "a config that is not there": (["train.py", "nosuch.py"], "'nosuch.py' does not exist"),
        "a config that is a folder": (["train.py", folder / "empty"], "folder"),
        "a checkpoint that is a folder": (["test.py", config, folder / "empty"], "empty"),
        "mini data in a file": (["make_mini_data.py", folder / "file.txt"], "file.txt"),
        "mini data over another folder": (["make_mini_data.py", material.classes], "classes"),
        "mini data below a file": (["make_mini_data.py", folder / "file.txt/x"], "file.txt"),
        "an image that is not there": (
            ["visualize_token_labels.py", material.weights("labeler"), "nosuch.png"],
            "nosuch.png"),
        "an image that is text": (
            ["visualize_token_labels.py", material.weights("labeler"), folder / "file.txt"],
            "file.txt"),
        "a folder for an image": (
            ["visualize_token_labels.py", material.weights("labeler"), folder / "empty"],
            "empty"),
    }  # fmt: skip
    for name, (words, says) in table.items():
        tool, *rest = map(str, words)
        untouched = (copy, folder / "made", folder / "x.onnx", folder / "x.txt", data / "c")
        yield BadInput(
            GROUP, f"{tool}: {name}", [f"tools/{tool}", *rest], (says,), untouched=untouched
        )


def _classifier_options(material: Material, folder: Path) -> Iterator[BadInput]:
    """Wrong values of the options that classifiers alone have."""
    missing = folder / "file.txt"
    table = (
        ("--timm resnet10q", "did you mean"), ("--timm ''", "--timm: expected some text"),
        ("--timm resnet10t.nosuch", "resnet10t.nosuch"),
        ("--checkpoint /nosuch.pth", "'/nosuch.pth' does not exist"),
        (f"--checkpoint {missing}", "no checkpoint"),
        ("--data-root /nosuch", "/nosuch"), (f"--data-root {missing}", "file.txt"),
        (f"--data-root {folder / 'empty'}", "empty"),
        (f"--data-root {material.data / 'cityscapes'}", "cityscapes"),
        ("--input-size 0", "0"), ("--input-size -64", "-64"), ("--input-size 99999999", "99999999"),
        ("--crop-pct 0", "0"), ("--crop-pct -1", "-1"), ("--crop-pct 1e-9", "1e-09"),
        ("--crop-pct 1e9", "at most 1"), ("--crop-pct inf", "got 'inf'"),
        ("--interpolation cubic", "cubic"), ("--interpolation ''", "''"),
        ("--std 0 0 0", "std must be above 0"), ("--std 1 1 -1", "std must be above 0"),
        ("--mean nan 0 0", "got 'nan'"), ("--mean 1e30 0 0", "mean"), ("--std 1e-30 1 1", "std"),
        ("--scoring cls_plus_max_token", "needs a token classifier"),
        ("--tta", "--tta"),
        ("--classes /nosuch", "'/nosuch' does not exist"), (f"--classes {missing}", "--classes"),
        ("--imagenet-a /nosuch", "ImageNet-A"), (f"--imagenet-r {missing}", "file.txt"),
        (f"--imagenet-a {folder / 'empty'}", "no class folder"),
        ("--resize-rule imagenet-c --input-size 64", "resize"),
        (f"--jpeg85 --corrupted-root {material.classes}", "--jpeg85"),
        ("--protocol coco-c --corruptions spatter", "spatter"),
        ("--resize-rule imagenet-c-resized --input-size 64 --workers 2000", "0..1024"),
    )  # fmt: skip
    for number, (given, says) in enumerate(table):
        run = folder / f"classifier_{number}"
        words = ["tools/robustness.py", "--work-dir", str(run), *_BRIEF, *material.classifier()]
        shown = given.replace(str(folder), ".").replace(str(material.root), ".")
        yield BadInput(
            GROUP, f"robustness.py, a classifier, {shown}",
            [*words, *shlex.split(given)], (says,), untouched=(run,),
        )  # fmt: skip
