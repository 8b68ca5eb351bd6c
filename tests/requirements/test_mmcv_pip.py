"""How mmcv is compiled, by a CUDA toolkit that says its version and does no more."""

import os
import re
import runpy
import subprocess
import sys

import pytest
import torch

CUDA = torch.version.cuda


@pytest.fixture
def show(tmp_path, repo_root):
    """What is set where the toolkit has a version; no toolkit for ``None``."""

    def run(release, command="show", **environment):
        toolkit = tmp_path / "cuda"
        (toolkit / "bin").mkdir(parents=True, exist_ok=True)
        if release is not None:
            nvcc = toolkit / "bin" / "nvcc"
            nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V1'\n")
            nvcc.chmod(0o755)
        done = subprocess.run(
            [sys.executable, repo_root / "requirements/mmcv_pip.py", command],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1",
                 "CUDA_VISIBLE_DEVICES": "", "PIP_CACHE_DIR": str(tmp_path / "cache"),
                 "CUDA_HOME": str(toolkit), "MMCV_CUDA": "1", **environment},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        values = [word.partition("=")[::2] for word in done.stdout.split()]
        return dict(values), done.stderr, done.returncode

    return run


@pytest.mark.skipif(CUDA is None, reason="torch was built for CPUs")
def test_with_a_toolkit_mmcv_is_compiled_for_gpus_and_its_wheel_kept_apart(show, tmp_path):
    found, _, _ = show(CUDA)
    assert found["FORCE_CUDA"] == "1"
    assert found["TORCH_CUDA_ARCH_LIST"] == "7.5;8.0;8.6;9.0+PTX"
    key = f"torch{torch.__version__}-cuda{CUDA}-7.5-8.0-8.6-9.0+PTX"
    assert found["PIP_CACHE_DIR"] == str(tmp_path / "cache/mmcv" / key)
    other, _, _ = show(CUDA, TORCH_CUDA_ARCH_LIST="10.0")
    assert other["TORCH_CUDA_ARCH_LIST"] == "10.0"
    assert other["PIP_CACHE_DIR"] == found["PIP_CACHE_DIR"].replace("7.5-8.0-8.6-9.0+PTX", "10.0")


@pytest.mark.parametrize("environment", [{"MMCV_CUDA": "0"}, {"MMCV_CUDA": ""}])
def test_a_toolkit_without_a_gpu_is_not_used_unasked(show, environment):
    found, _, _ = show(CUDA, **environment)
    assert found.keys() == {"MAX_JOBS"}


def test_without_one_pips_own_cache_keeps_its_wheel(show):
    found, _, _ = show(None)
    assert found.keys() == {"MAX_JOBS"}


@pytest.mark.skipif(CUDA is None, reason="torch was built for CPUs")
def test_a_toolkit_of_another_version_is_named_and_left_alone(show):
    found, error, _ = show("9.1")
    assert found.keys() == {"MAX_JOBS"}
    assert f"is release 9.1 and torch {torch.__version__} needs CUDA {CUDA}" in error


@pytest.mark.skipif(CUDA is None, reason="torch was built for CPUs")
def test_an_mmcv_for_the_cpu_does_not_pass_beside_a_toolkit(show):
    from mmcv.ops import get_compiling_cuda_version

    is_for_cpus = get_compiling_cuda_version() == "not available"
    _, error, code = show(CUDA, "check")
    assert code == int(is_for_cpus)
    assert ("has no operators for GPUs" in error) == is_for_cpus


@pytest.mark.parametrize("target", ["lint", "test-openmmlab"])
def test_make_installs_by_it(repo_root, tmp_path, target):
    words = ["make", "-n", target, f"VENV={tmp_path}/a", f"OPENMMLAB_VENV={tmp_path}/b"]
    done = subprocess.run(words, cwd=repo_root, capture_output=True, text=True, check=True)
    words = re.findall(r"mmcv_pip\.py (\w+)", done.stdout)
    assert words == ["install", "check", "anew", "check"]


PIP = """
import os, time
from pathlib import Path
place = Path(os.environ["TMPDIR"], "a b")
place.mkdir()
names = [place / f"{number}.o" for number in range(4)]
lines = [f"build {str(name).replace(' ', '$ ')}: compile x.cpp" for name in names]
(place / "build.ninja").write_text("rule compile\\n" + "\\n".join(lines))
names[0].touch()
time.sleep(1)
raise SystemExit(3)
"""


def test_what_is_compiled_is_shown(repo_root, capfd, monkeypatch):
    tool = runpy.run_path(str(repo_root / "requirements/mmcv_pip.py"))
    run = tool["run_with_progress"]
    monkeypatch.setitem(run.__globals__, "PAUSE", 0.3)
    assert run([sys.executable, "-c", PIP], os.environ) == 3
    first = capfd.readouterr().out.splitlines()[0]
    assert re.fullmatch(r"  1 of 4 files, 0 minutes, about 0 more", first)


def test_a_folder_that_pip_removes_meanwhile_is_passed_over(tmp_path, repo_root, monkeypatch):
    for name in ("gone", "kept"):
        (tmp_path / name).mkdir()
    (tmp_path / "a.o").touch()
    lines = [f"build {tmp_path}/{name}.o: compile x.cpp" for name in "ab"]
    (tmp_path / "kept/build.ninja").write_text("rule compile\n" + "\n".join(lines) + "\n")
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("gone"):
            raise FileNotFoundError
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    count = runpy.run_path(str(repo_root / "requirements/mmcv_pip.py"))["count_compiled"]
    assert count(tmp_path) == (1, 2)
