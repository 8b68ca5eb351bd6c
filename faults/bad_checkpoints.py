"""Wrong checkpoints for every tool that reads one, and unusual ones that are right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from faults.bad_input import BadInput
from faults.forkserver import ROOT
from faults.material import CLASSIFIER, Material

GROUP = "checkpoints"
SEGMENTATION = ROOT / "configs/seg/stl_fan_t_mini.py"
DETECTION = ROOT / "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py"
LABELER = ROOT / "configs/cls/stl_fan_t_mini_labeler.py"
STUDENT = ROOT / "configs/cls/stl_fan_t_mini_student.py"
_BRIEF = ("--corruptions", "contrast", "--severities", "1")
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Variant:
    """A file made of a right checkpoint.

    Args:
        make: Turns the weights into what is saved; ``None`` where bytes are written instead.
        says: What the line must say.
        right: Whether the tools take it.
    """

    make: Callable[[Weights], Any] | None
    says: str = ""
    right: bool = False


def _changed(change: Callable[[Tensor], Tensor]) -> Callable[[Weights], Any]:
    """Change all weights that are no counts."""

    def make(weights: Weights) -> Any:
        changed = {k: change(v) if v.is_floating_point() else v for k, v in weights.items()}
        return {"state_dict": changed, "meta": {}}

    return make


def _last(weights: Weights) -> str:
    """The last matrix of the body; heads may be missing."""
    matrices = [k for k, v in weights.items() if v.is_floating_point() and v.ndim >= 2]
    return [k for k in matrices if ".blocks." in f".{k}" or "layer" in k][-1]


def _one(change: Callable[[Tensor], Tensor]) -> Callable[[Weights], Any]:
    """Change the last of the larger weights."""

    def make(weights: Weights) -> Any:
        key = _last(weights)
        return {"state_dict": {**weights, key: change(weights[key])}, "meta": {}}

    return make


def _first_is(value: float) -> Callable[[Tensor], Tensor]:
    def change(weight: Tensor) -> Tensor:
        changed = weight.clone()
        changed.view(-1)[0] = value
        return changed

    return change


def _renamed(prefix: str) -> Callable[[Weights], Any]:
    return lambda weights: {"state_dict": {f"{prefix}{k}": v for k, v in weights.items()}}


_NO_FIT = "does not fit|fits "
VARIANTS: Mapping[str, Variant] = {
    "no bytes": Variant(None, "truncated or no checkpoint"),
    "its first quarter": Variant(None, "truncated or no checkpoint"),
    "its first half": Variant(None, "truncated or no checkpoint"),
    "all but its last byte": Variant(None, "truncated or no checkpoint"),
    "text": Variant(None, "truncated or no checkpoint"),
    "random bytes": Variant(None, "truncated or no checkpoint"),
    "a folder": Variant(None, "folder"),
    "an ONNX file": Variant(None, "truncated or no checkpoint"),
    "a TorchScript file": Variant(None, "checkpoint"),
    "a safetensors file cut": Variant(None, "truncated or no safetensors"),
    "a text named safetensors": Variant(None, "truncated or no safetensors"),
    "a list": Variant(lambda weights: list(weights.values()), "holds no weights"),
    "one tensor": Variant(lambda weights: next(iter(weights.values())), "holds no weights"),
    "a number": Variant(lambda _: 3, "holds no weights"),
    "an empty dict": Variant(lambda _: {}, "holds no weights"),
    "an empty state dict": Variant(lambda _: {"state_dict": {}, "meta": {}}, "holds no weights"),
    "a state dict that is a list": Variant(lambda _: {"state_dict": [1, 2]}, "holds no weights"),
    "an optimizer alone": Variant(
        lambda _: {"optimizer": {"state": {}, "param_groups": []}}, "holds no weights"),
    "numbers for keys": Variant(
        lambda weights: {"state_dict": dict(enumerate(weights.values()))}, "weights"),
    "names for weights": Variant(
        lambda weights: {"state_dict": dict.fromkeys(weights, "weight")}, "holds no weights"),
    "one key missing": Variant(
        lambda weights: {"state_dict": {k: weights[k] for k in weights if k != _last(weights)}}),
    "one key more": Variant(
        lambda weights: {"state_dict": {**weights, "extra.bias": torch.zeros(3)}}, "extra.bias"),
    "one weight of another shape": Variant(_one(lambda w: w[:, :1]), ""),
    "other names": Variant(
        lambda weights: {"state_dict": {k.replace(".", "/"): v for k, v in weights.items()}}),
    "NaN": Variant(_one(_first_is(float("nan"))), "not finite"),
    "infinity": Variant(_one(_first_is(float("inf"))), "not finite"),
    "whole numbers": Variant(_changed(lambda w: w.to(torch.int32)), "int32"),
    "bytes for weights": Variant(_changed(lambda w: w.to(torch.uint8)), "uint8"),
    "truth values": Variant(_changed(lambda w: w > 0), "bool"),
    "complex weights": Variant(_changed(lambda w: w.to(torch.complex64)), "complex64"),
    "a sparse weight": Variant(_one(lambda w: w.to_sparse()), "sparse"),
    "a weight without values": Variant(_one(lambda w: w.to("meta")), "meta"),
    "a quantised weight": Variant(
        _one(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)), "qint8"),
    "float16": Variant(_changed(lambda w: w.half()), right=True),
    "bfloat16": Variant(_changed(lambda w: w.bfloat16()), right=True),
    "float64": Variant(_changed(lambda w: w.double()), right=True),
    "the prefix of a wrapper": Variant(_renamed("module."), right=True),
    "a state dict alone": Variant(dict, right=True),
    "safetensors": Variant(None, right=True),
}  # fmt: skip
_FEW = ("its first half", "an empty dict", "one key missing", "NaN", "complex weights", "a folder",
        "a list", "whole numbers")  # fmt: skip


_BRIEFLY = ("its first half", "an empty dict", "one key missing", "NaN", "whole numbers")
_RIGHT = ("float16", "bfloat16", "a state dict alone", "safetensors")


def write_variants(source: Path, folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Write files that differ from a right checkpoint in one way."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = torch.load(source, weights_only=True)["state_dict"]
    return {name: _write_variant(source, weights, folder, name) for name in names}


def _write_variant(source: Path, weights: Weights, folder: Path, name: str) -> Path:
    stem = name.replace(" ", "_")
    path = folder / f"{stem}{'.safetensors' if 'safetensors' in name else '.pth'}"
    make = VARIANTS[name].make
    if make is not None:
        torch.save(make(weights), path)
        return path
    if name == "a folder":
        path.mkdir(exist_ok=True)
    elif name == "a TorchScript file":
        _write_torchscript(path)
    elif "safetensors" in name and "text" not in name:
        save_file({k: v.contiguous().clone() for k, v in weights.items()}, path)
        if "cut" in name:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    else:
        path.write_bytes(_bytes_of(name, source))
    return path


def _bytes_of(name: str, source: Path) -> bytes:
    if name == "an ONNX file":
        import onnx

        graph = onnx.helper.make_graph([], "none", [], [])
        return onnx.helper.make_model(graph).SerializeToString()
    whole = source.read_bytes()
    return {
        "no bytes": b"",
        "its first quarter": whole[: len(whole) // 4],
        "its first half": whole[: len(whole) // 2],
        "all but its last byte": whole[:-1],
        "random bytes": np.random.default_rng(0).bytes(4096),
    }.get(name, b"this is a text and no checkpoint\n")


def _write_torchscript(path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))


def cases(material: Material, folder: Path) -> Iterator[BadInput]:
    """All of them."""
    files = {
        kind: write_variants(material.weights(kind), folder / kind, names)
        for kind, names in {
            "segmenter": tuple(VARIANTS),
            "labeler": tuple(VARIANTS),
            "classifier": (*_FEW, *_RIGHT, "no bytes", "text", "one tensor"),
            "detector": _FEW,
        }.items()
    }
    _write_others(material, folder)
    yield from _scored(material, folder, files)
    yield from _trained(material, folder, files)
    yield from _pretrained(material, folder, files)
    yield from _rewritten(material, folder, files)
    yield from _other_networks(material, folder)
    yield from _resumed(material, folder)


def _case(
    tool: str, what: str, words: list[object], variant: Variant, results: tuple[Path, ...],
    *, made: Path | None = None,
) -> BadInput:  # fmt: skip
    """A refusal that leaves no results, or a right answer that leaves what is expected."""
    if not variant.right:
        says = () if not variant.says else (variant.says,)
        given = [f"tools/{tool}", *words]
        return BadInput(GROUP, f"{tool}, {what}", given, says, untouched=results)

    def is_there() -> None:
        assert made is None or made.exists(), f"no {made}"

    return BadInput(
        GROUP, f"{tool}, {what}: is taken", [f"tools/{tool}", *words], code=0, check=is_there
    )


Files = Mapping[str, Mapping[str, Path]]


def _scored(material: Material, folder: Path, files: Files) -> Iterator[BadInput]:
    """robustness.py of all tasks, and test.py."""
    segmentation = ["--cfg-options", *material.segmentation_options()]
    for number, (name, path) in enumerate(files["segmenter"].items()):
        run = folder / f"seg_{number}"
        yield _case(
            "robustness.py", f"a segmenter, {name}",
            [SEGMENTATION, path, "--work-dir", run, *_BRIEF, *segmentation],
            VARIANTS[name], (run,), made=run / "cells/contrast-1.npz",
        )  # fmt: skip
    for name in (*_FEW, "float16"):
        path, run = files["segmenter"][name], folder / f"test_{name.replace(' ', '_')}"
        words = [SEGMENTATION, path, "--work-dir", run, *segmentation]
        yield _case("test.py", f"a segmenter, {name}", words, VARIANTS[name], ())
    for number, (name, path) in enumerate(files["detector"].items()):
        run = folder / f"det_{number}"
        options = ["--cfg-options", *material.detection_options()]
        words = [DETECTION, path, "--work-dir", run, *_BRIEF, *options]
        yield _case("robustness.py", f"a detector, {name}", words, VARIANTS[name], (run,))
    for number, (name, path) in enumerate(files["classifier"].items()):
        run = folder / f"timm_{number}"
        words = ["--timm", CLASSIFIER, "--checkpoint", path, "--data-root", material.classes,
                 "--input-size", 64, "--allow-missing", "--work-dir", run, *_BRIEF]  # fmt: skip
        yield _case(
            "robustness.py", f"a timm classifier, {name}", words, VARIANTS[name], (run,),
            made=run / "cells/contrast-1.npz",
        )  # fmt: skip
    for number, name in enumerate((*_FEW, "bfloat16", "safetensors")):
        run = folder / f"cls_{number}"
        words = [LABELER, files["labeler"][name], "--work-dir", run, *_BRIEF, "--cfg-options",
                 *material.pretraining_options("labeler")]  # fmt: skip
        yield _case("robustness.py", f"a labeler, {name}", words, VARIANTS[name], (run,))


def _trained(material: Material, folder: Path, files: Files) -> Iterator[BadInput]:
    """train.py: weights to start from, runs to go on with, and backbones."""
    options = [*material.segmentation_options(), "max_iters=2", "warmup_iters=1", "val_interval=2"]
    kinds = {
        "load_from": (files["segmenter"], lambda path: ["--cfg-options", f"load_from={path}"]),
        "resume": (files["segmenter"], lambda path: ["--resume", path, "--cfg-options"]),
        "backbone": (files["labeler"], lambda path: ["--cfg-options", f"pretrained={path}"]),
    }
    for kind, (paths, words) in kinds.items():
        for name in _BRIEFLY:
            run = folder / f"train_{kind}_{name.replace(' ', '_')}"
            given = [SEGMENTATION, "--work-dir", run, *words(paths[name]), *options]
            yield _case(
                "train.py", f"{kind}, {name}", given, VARIANTS[name], (run / "last_checkpoint",)
            )


def _pretrained(material: Material, folder: Path, files: Files) -> Iterator[BadInput]:
    """pretrain.py: init, labeler and resume."""
    for kind in ("init", "labeler", "resume"):
        config = STUDENT if kind == "labeler" else LABELER
        options = material.pretraining_options("student" if kind == "labeler" else "labeler")
        for name in _BRIEFLY:
            run = folder / f"pretrain_{kind}_{name.replace(' ', '_')}"
            path = files["labeler"][name]
            words = [config, "--work-dir", run]
            words += ["--resume", path] if kind == "resume" else []
            words += ["--cfg-options", *options]
            words += [] if kind == "resume" else [f"{kind}={path}"]
            yield _case(
                "pretrain.py", f"{kind}, {name}", words, VARIANTS[name],
                (run / "last_checkpoint",),
            )  # fmt: skip


def _rewritten(material: Material, folder: Path, files: Files) -> Iterator[BadInput]:
    """convert_checkpoint.py, export_onnx.py and visualize_token_labels.py."""
    image = min((material.data / "imagenet/val").rglob("*.JPEG"))
    unread = {"one key more"}  # said in the report, and left out
    for name in (*_FEW, *_RIGHT, "no bytes", "one key more", "numbers for keys", "truth values"):
        path = files["labeler"][name]
        variant = VARIANTS[name] if name not in unread else Variant(None, right=True)
        target = folder / f"converted_{name.replace(' ', '_')}.pth"
        yield _case("convert_checkpoint.py", name, [path, target], variant, (target,), made=target)
    for name in (*_FEW, "safetensors"):
        path, place = files["labeler"][name], folder / name.replace(" ", "_")
        onnx, out = place.with_suffix(".onnx"), place.with_suffix(".pictures")
        words = ["fan_tiny_8_p4_hybrid_token", path, onnx, "--size", 32, 32]
        if not VARIANTS[name].right:
            yield _case("export_onnx.py", name, words, VARIANTS[name], (onnx,))
        yield _case(
            "visualize_token_labels.py", name, [path, image, "--out", out, "--size", 64],
            VARIANTS[name], (out,), made=out,
        )  # fmt: skip


def _write_others(material: Material, folder: Path) -> None:
    """Right checkpoints of other networks."""
    import timm

    import stl_backbones.models  # noqa: F401  registers the FANs

    torch.manual_seed(0)
    names = {"fan_base": "fan_base_16_p4_hybrid", "resnet": "resnet18"}
    for file, name in names.items():
        model = timm.create_model(name, num_classes=10)
        torch.save({"state_dict": model.state_dict()}, folder / f"{file}.pth")
    plain = timm.create_model("fan_tiny_8_p4_hybrid", num_classes=10)
    torch.save({"state_dict": plain.state_dict()}, folder / "no_token_head.pth")
    rows = torch.load(material.weights("labeler"), weights_only=True)["state_dict"]
    rows["backbone.aux_head.weight"] = rows["backbone.aux_head.weight"][:3]
    torch.save({"state_dict": rows}, folder / "few_rows.pth")


def _other_networks(material: Material, folder: Path) -> Iterator[BadInput]:
    """A right checkpoint in another network."""
    base, resnet = folder / "fan_base.pth", folder / "resnet.pth"
    kinds = ("segmenter", "detector", "labeler", "classifier")
    weights = {kind: material.weights(kind) for kind in kinds}
    segmentation = ["--cfg-options", *material.segmentation_options()]
    detection = ["--cfg-options", *material.detection_options()]
    labeler = ["--cfg-options", *material.pretraining_options("labeler")]
    student = ["--cfg-options", *material.pretraining_options("student")]
    image = min((material.data / "imagenet/val").rglob("*.JPEG"))
    onnx, out = folder / "other.onnx", folder / "other.pth"
    table: dict[str, tuple[list[object], str]] = {
        "FAN-B in a FAN-T segmenter": (
            ["robustness.py", SEGMENTATION, base, *segmentation], "does not fit"),
        "a detector in a segmenter": (
            ["robustness.py", SEGMENTATION, weights["detector"], *segmentation], "does not fit"),
        "a segmenter in a detector": (
            ["robustness.py", DETECTION, weights["segmenter"], *detection], "does not fit"),
        "a classifier in a segmenter": (
            ["test.py", SEGMENTATION, weights["classifier"], *segmentation], "does not fit"),
        "FAN-B in a FAN-T classifier": (
            ["robustness.py", LABELER, base, *labeler], "FAN-B"),
        "a ResNet in a FAN classifier": (["robustness.py", LABELER, resnet, *labeler], "no FAN"),
        "a segmenter in a classifier": (
            ["robustness.py", LABELER, weights["segmenter"], *labeler], "classifiers"),
        "no token head in a labeler": (
            ["robustness.py", LABELER, folder / "no_token_head.pth", *labeler], "aux_head"),
        "ResNet-18 as ResNet-10": (
            ["robustness.py", "--timm", CLASSIFIER, "--checkpoint", resnet, "--data-root",
             material.classes], "does not fit"),
        "a FAN as ResNet": (
            ["robustness.py", "--timm", CLASSIFIER, "--checkpoint", weights["labeler"],
             "--data-root", material.classes], "does not fit"),
        "a FAN as convnext-t": (
            ["robustness.py", "--preset", "convnext-t", "--checkpoint", weights["labeler"],
             "--data-root", material.classes], "does not fit"),
        "a file in a preset of mmseg": (
            ["robustness.py", "--preset", "segformer-b0", "--checkpoint", weights["segmenter"],
             "--data-root", material.data / "cityscapes", *_BRIEF], "does not fit"),
        "a segmenter in a config of mmdet": (
            ["robustness.py", "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
             weights["segmenter"], "--data-root", material.data / "coco", *_BRIEF],
            "does not fit"),
        "a ResNet to start a segmenter from": (
            ["train.py", SEGMENTATION, *segmentation, "max_iters=2", "warmup_iters=1",
             f"load_from={resnet}"], "does not fit"),
        "FAN-B for a FAN-T backbone": (
            ["train.py", SEGMENTATION, *segmentation, f"pretrained={base}"], "FAN-B"),
        "a ResNet for a FAN backbone": (
            ["train.py", SEGMENTATION, *segmentation, f"pretrained={resnet}"], "no FAN"),
        "a detector to resume a segmenter": (
            ["train.py", SEGMENTATION, "--resume", weights["detector"], *segmentation],
            "does not fit"),
        "a detector to resume a labeler": (
            ["pretrain.py", LABELER, "--resume", weights["detector"], *labeler], "does not fit"),
        "FAN-B to begin a FAN-T with": (["pretrain.py", LABELER, *labeler, f"init={base}"],
                                        "FAN-B"),
        "a ResNet to begin a FAN-T with": (
            ["pretrain.py", LABELER, *labeler, f"init={resnet}"], "no FAN"),
        "a ResNet for a labeler": (
            ["pretrain.py", STUDENT, *student, f"labeler={resnet}"], "FAN"),
        "a network without token head for a labeler": (
            ["pretrain.py", STUDENT, *student, f"labeler={folder / 'no_token_head.pth'}"],
            "token"),
        "a segmenter for a labeler": (
            ["pretrain.py", STUDENT, *student, f"labeler={weights['segmenter']}"], "token"),
        "a classifier without all its rows to keep": (
            ["convert_checkpoint.py", folder / "few_rows.pth", out, "--with-head"], "head"),
        "a ResNet to convert": (["convert_checkpoint.py", resnet, out], "FAN variant"),
        "FAN-B exported as FAN-T": (
            ["export_onnx.py", "fan_tiny_8_p4_hybrid", base, onnx, "--size", 32, 32],
            "does not fit"),
        "a segmenter exported as a classifier": (
            ["export_onnx.py", "fan_tiny_8_p4_hybrid", weights["segmenter"], onnx,
             "--size", 32, 32], "does not fit"),
        "a detector exported as a segmenter": (
            ["export_onnx.py", SEGMENTATION, weights["detector"], onnx, "--size", 64, 64],
            "does not fit"),
        "a network without token head to draw": (
            ["visualize_token_labels.py", folder / "no_token_head.pth", image], "token"),
        "a ResNet to draw": (["visualize_token_labels.py", resnet, image], "FAN"),
    }  # fmt: skip
    for number, (name, (given, says)) in enumerate(table.items()):
        tool, *words = given
        run = folder / f"network_{number}"
        place = [] if tool in ("convert_checkpoint.py", "export_onnx.py") else ["--work-dir", run]
        place = ["--out", run] if tool == "visualize_token_labels.py" else place
        results = (run,) if tool == "robustness.py" else (run / "last_checkpoint", onnx, out)
        yield BadInput(
            GROUP, f"{tool}, {name}", [f"tools/{tool}", *place, *words], (says,),
            untouched=results,
        )  # fmt: skip


def _resumed(material: Material, folder: Path) -> Iterator[BadInput]:
    """--resume without a file: what stands in the work folder."""
    options = ["--cfg-options", *material.segmentation_options(), "max_iters=2", "warmup_iters=1"]
    pretraining = ["--cfg-options", *material.pretraining_options("labeler")]
    pointers = {
        "an empty folder": None,
        "a pointer at nothing": "/nosuch/iter_9.pth",
        "an empty pointer": "",
        "a pointer at the folder": ".",
        "a pointer at another network's": "other.pth",
        "a pointer at a file cut": "cut.pth",
        "a pointer at weights alone": "weights.pth",
    }
    for tool, config, kind, words in (
        ("train.py", SEGMENTATION, "segmenter", options),
        ("pretrain.py", LABELER, "labeler", pretraining),
    ):
        whole = material.weights(kind).read_bytes()
        for number, (name, pointer) in enumerate(pointers.items()):
            run = folder / f"resumed_{kind}_{number}"
            run.mkdir(parents=True, exist_ok=True)
            if pointer is not None:
                (run / "last_checkpoint").write_text(pointer)
            if pointer == "other.pth":
                shutil.copyfile(material.weights("detector"), run / pointer)
            if pointer == "cut.pth":
                (run / pointer).write_bytes(whole[: len(whole) // 2])
            if pointer == "weights.pth":
                (run / pointer).write_bytes(whole)
            says = {
                "other.pth": "does not fit", "cut.pth": "nothing to resume",
                "weights.pth": "resume",
            }.get(str(pointer), "nothing to resume")  # fmt: skip
            yield BadInput(
                GROUP, f"{tool} --resume, {name}",
                [f"tools/{tool}", config, "--work-dir", run, "--resume", *words], (says,),
                untouched=(run / "iter_2.pth", run / "epoch_1.pth"),
            )  # fmt: skip
