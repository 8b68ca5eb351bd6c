"""benchmarks/gpu.sh where there is no GPU: its lines, its limits, its exit code."""

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture
def run_script(repo_root, tmp_path):
    def run(*words, **environment):
        return subprocess.run(
            ["bash", repo_root / "benchmarks/gpu.sh", *words], capture_output=True, text=True,
            check=False, timeout=500,
            env={**os.environ, "PYTHON": sys.executable, "TMPDIR": str(tmp_path), **environment},
        )  # fmt: skip

    return run


def rows(done):
    """The checks, without the heading."""
    found = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    return [[part.strip() for part in row] for row in found[1:]]


def test_a_part_that_fails_ends_no_other(run_script):
    done = run_script("--parts", "profile memory", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert [row[:2] for row in rows(done)] == [["OFF", "profile"], ["OFF", "memory"]]
    # On a busy machine the import of torch alone may take longer than a part's limit.
    assert all(re.search("sees no GPU|not done after 30 s", row[3]) for row in rows(done))
    assert "0 ok, 2 OFF, 0 skipped" in done.stdout


def test_without_openmmlab_its_parts_are_skipped(run_script, torch_and_timm_alone, tmp_path):
    done = run_script(
        "--device", "cpu", "--parts", "versions training memory", "--out", tmp_path,
        **torch_and_timm_alone,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    got = {row[1]: (row[0], row[3]) for row in rows(done)}
    assert got["versions"] == ("skip", "needs mmcv.ops")
    assert got["training"] == ("skip", "needs mmseg")
    (peak,) = [got[what] for what in got if what.startswith("peak of a step of tiny_hybrid")]
    assert peak[0] == "ok"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "tpu"], "--device must be cuda or cpu, got 'tpu'"),
        (["--parts", "memory rest"], "no part 'rest'; there are versions data tests"),
        (["--out"], "the last option has no value"),
        (["fast"], "got 'fast'"),
    ],
)
def test_wrong_words_are_one_line(run_script, words, message):
    done = run_script(*words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu.sh: error: ")
    assert message in line


def test_all_parts_together_take_at_most_ten_minutes(repo_root):
    text = (repo_root / "benchmarks/gpu.sh").read_text()
    limits = dict(re.findall(r"([a-z]+):(\d+)", re.search(r'limits="([^"]*)"', text)[1]))
    page = (repo_root / "docs/reference/first_gpu.md").read_text()
    assert all(f"`{part}`" in page for part in limits)
    assert len(limits) == 12
    assert sum(map(int, limits.values())) <= 600
