"""The tool as a user runs it: what it writes, what it says, its exit codes."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from stl_backbones.cli.commands import generate_corruptions
from stl_backbones.copies import Outcome, Progress
from stl_backbones.display import Display

CHEAP = ("--mode", "fast", "--corruptions", "brightness", "--severities", "1", "--workers", "1")


@pytest.fixture
def pictures(tmp_path):
    """A folder of two pictures."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b/c.jpg"):
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(path)
    return tmp_path / "src"


@pytest.fixture
def generate(run_tool, pictures, tmp_path):
    def run(*words, **kwargs):
        ours = (pictures, tmp_path / "out", "--layout", "folder", *CHEAP)
        return run_tool("generate_corruptions.py", *ours, *words, **kwargs)

    return run


def test_made_verified_and_found_complete(generate, run_tool, tmp_path):
    done = generate()
    assert done.returncode == 0, done.stderr
    assert "2 images x 1 cells = 2 files" in done.stdout
    assert "estimate from 2 images: 2 files" in done.stdout
    assert "core hours" in done.stdout
    assert "free" in done.stdout
    assert "complete: 2 files, manifest written" in done.stdout
    assert "2/2 images, " in done.stderr
    out = tmp_path / "out"
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert names == ["brightness/1/a.png", "brightness/1/b/c.png"]
    again = run_tool("generate_corruptions.py", "--verify", out)
    assert (again.returncode, again.stdout) == (0, f"{out}: 2 files, all as written\n")
    (out / names[0]).unlink()
    (out / "more.png").write_text("")
    again = run_tool("generate_corruptions.py", tmp_path / "src", out, "--verify")
    assert again.returncode == 1
    assert again.stdout.splitlines() == [
        f"missing: {names[0]}", "unexpected: more.png",
        f"{out}: 2 files, 1 missing, 0 altered, 1 unexpected",
    ]  # fmt: skip


def test_a_dry_run_writes_nothing(generate, tmp_path):
    done = generate("--dry-run")
    assert done.returncode == 0
    assert "estimate from" in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_broken_image_is_named_and_the_exit_code_tells(generate, pictures, tmp_path):
    Image.new("RGBA", (40, 40)).save(pictures / "glass.png")
    done = generate()
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert failed == [
        f"failed: '{pictures}/glass.png': it has transparency (mode RGBA); save it as RGB, "
        "on the background you want"
    ]
    assert "Traceback" not in done.stderr
    assert "not complete, so without a manifest: 1 files missing" in done.stdout
    assert (tmp_path / "out/brightness/1/b/c.png").is_file()


def test_two_ranks_share_the_work(generate, torchrun, tmp_path):
    done = generate(launch=torchrun)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out/manifest.json").is_file()
    assert done.stdout.count("estimate from") == 1


def test_slurm_s_rank_is_a_shard(generate, tmp_path):
    slurm = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}
    done = generate(SLURM_PROCID="1", **slurm)
    assert (done.returncode, done.stdout) == (0, "")  # the first rank talks
    assert not (tmp_path / "out/manifest.json").exists()
    assert len(list((tmp_path / "out").rglob("*.png"))) == 1


def test_ctrl_c_keeps_what_is_finished(pictures, tmp_path, repo_root):
    for number in range(200):
        Image.new("RGB", (200, 200), (number, 9, 9)).save(pictures / f"{number}.png")
    words = (pictures, tmp_path / "out", "--layout", "folder", "--mode", "fast", "--workers", "2")
    process = subprocess.Popen(
        [sys.executable, repo_root / "tools/generate_corruptions.py", *words],
        cwd=repo_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        for line in process.stdout:
            if line.startswith("estimate"):
                break
        os.killpg(process.pid, signal.SIGINT)
        _, got = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    line = got.strip().splitlines()[-1]
    assert "interrupted; finished files are kept; go on with: " in line
    assert "Traceback" not in got


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layout", "voc"], "unknown layout 'voc'; expected one of cityscapes, coco, imagenet"),
        (["--corruptions", "fgo"], "unknown corruption 'fgo'; did you mean fog"),
        (["--workers", "0"], "expected a whole number in 1..1024, got '0'"),
        (["--shard", "half"], "--shard must be i/n, such as 1/4"),
        (["--split", "val"], "layout 'folder' has no splits, got --split 'val'"),
        (["--format", "webp"], "layout 'folder' is written as png or jpeg, got 'webp'"),
        (["--verify"], "holds no finished corrupted copy: expected manifest.json"),
    ],
)
def test_bad_options_are_one_line(generate, words, message):
    done = generate(*words)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("generate_corruptions.py: error: ")
    assert message in line


def test_no_output_and_no_layout(run_tool, pictures, tmp_path):
    done = run_tool("generate_corruptions.py", pictures)
    assert done.returncode == 2
    assert "OUT is missing" in done.stderr
    done = run_tool("generate_corruptions.py", pictures, tmp_path / "out")
    assert "--layout is missing" in done.stderr


def test_progress_before_the_first_file_is_made(capsys):
    """While all images fail there is no rate, and no end in sight."""
    with Display("copy", "images") as display:
        generate_corruptions.Observer(display)(Progress(0, 9, ("one",), 0.0, float("inf")))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "failed: one"
    assert second.startswith("copy:   0%, 0/9 images, ETA ?, ")


@pytest.mark.parametrize(("others_at_work", "code"), [(False, 1), (True, 0)])
def test_files_that_nobody_makes_are_no_success(
    pictures, tmp_path, monkeypatch, others_at_work, code
):
    outcome = Outcome(made=1, failures=(), missing=1, others_at_work=others_at_work)
    monkeypatch.setattr("stl_backbones.copies.request.make_copy", lambda *_, **__: outcome)
    words = [str(pictures), str(tmp_path / "out"), "--layout", "folder", *CHEAP]
    assert generate_corruptions.main(words) == code
