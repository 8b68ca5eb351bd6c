"""mmcv's operators are tried when a config is read that needs them."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from stl_backbones.config.operators import check_operators
from stl_backbones.config.reading import load_config
from stl_backbones.errors import MissingPackageError

READ = "import sys; from stl_backbones.config.reading import load_config; load_config(sys.argv[1])"


@pytest.fixture
def read_with_mmcv(repo_root, tmp_path):
    """Read the mini config in a process whose mmcv has other compiled operators."""

    def read(operators):
        package = tmp_path / "mmcv"
        package.mkdir()
        for path in Path(find_spec("mmcv").origin).parent.iterdir():
            if not path.name.startswith("_ext"):
                (package / path.name).symlink_to(path)
            elif operators is not None:
                shutil.copy(operators, package / path.name)
        return subprocess.run(
            [sys.executable, "-c", READ, "configs/seg/stl_fan_t_mini.py"], cwd=repo_root,
            env={"PYTHONPATH": f"{tmp_path}:{repo_root}", "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return read


def test_operators_that_cannot_be_loaded_are_named_with_the_command_that_compiles_them(
    read_with_mmcv,
):
    other = next(Path(find_spec("PIL").origin).parent.glob("_imagingmath*.so"))  # of no torch
    error = read_with_mmcv(other).stderr.splitlines()[-1]
    assert f"does not work with torch {torch.__version__}" in error
    assert "MissingPackageError" in error
    assert "pip install --no-cache-dir --no-binary " in error


def test_an_mmcv_without_operators_is_said_to_be_one(read_with_mmcv):
    error = read_with_mmcv(None).stderr.splitlines()[-1]
    assert "MissingPackageError" in error
    assert "installed without its compiled operators" in error


def test_reading_a_config_tries_them_once(repo_root):
    check_operators.cache_clear()
    for _ in range(2):
        load_config(repo_root / "configs/seg/stl_fan_t_mini.py")
    assert (check_operators.cache_info().misses, check_operators.cache_info().hits) == (1, 1)


def test_operators_for_the_cpu_alone_are_refused_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("mmcv.ops.get_compiling_cuda_version", lambda: "not available")
    with pytest.raises(MissingPackageError, match="without operators for GPUs") as caught:
        check_operators.__wrapped__(on_gpu=True)
    message = str(caught.value)
    assert f"does not work with torch {torch.__version__} on a GPU: it was compiled" in message
    assert "minutes: FORCE_CUDA=1 pip install --no-cache-dir --no-binary " in message
    assert message.endswith("or compute on the CPU, --device cpu")
    check_operators.__wrapped__()  # segmentation needs none there
