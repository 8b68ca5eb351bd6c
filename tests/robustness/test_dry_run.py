"""What a sweep would take is said after a few images, and nothing is written."""

import pytest

from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import estimate_sweep, sweep

OPTIONS = SweepOptions(corruptions=["brightness", "fog"], severities=[1, 3], workers=0)


@pytest.fixture
def source(repo_root, mini_checkpoint, mini_options):
    config = repo_root / "configs/seg/stl_fan_t_mini.py"
    return ConfigSource(config, mini_checkpoint, options=mini_options)


def test_images_cells_time_and_memory_are_estimated(source, tmp_path):
    (one,) = estimate_sweep(source, work_dir=tmp_path / "sweep", options=OPTIONS)
    assert (one.images, one.cells, one.sampled) == (4, 5, 3)
    assert 0 < one.least_seconds <= one.seconds <= one.most_seconds
    assert one.memory > 100_000_000  # torch alone
    assert list(tmp_path.iterdir()) == []


def test_what_is_finished_is_not_estimated_again(source, tmp_path):
    sweep(source, work_dir=tmp_path, options=OPTIONS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (one,) = estimate_sweep(source, work_dir=tmp_path, options=OPTIONS)
    assert (one.images, one.cells, one.seconds) == (0, 0, 0.0)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_tool_prints_the_estimate(run_tool, mini_checkpoint, mini_option_words, tmp_path):
    done = run_tool(
        "robustness.py", "--dry-run", "configs/seg/stl_fan_t_mini.py", "--checkpoint",
        mini_checkpoint, "--corruptions", "fog", "--severities", 2, "--workers", 1,
        "--until", "fog/2 >= 0.2", "--work-dir", tmp_path / "sweep", "--cfg-options",
        *mini_option_words, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 images x 2 cells to score, " in done.stdout
    assert "memory at most " in done.stdout
    assert "of all images, the most that it takes: with --until" in done.stdout
    assert not (tmp_path / "sweep").exists()


def test_a_dry_run_of_what_cannot_run_is_refused(run_tool, tmp_path):
    done = run_tool("robustness.py", "--dry-run", "configs/seg/stl_fan_t_mini.py", tmp_path / "x")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "does not exist" in line
