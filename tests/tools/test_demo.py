import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stl_backbones.cli.commands import demo
from stl_backbones.errors import InputError


@pytest.fixture
def plan_demo(tmp_path):
    """The demo's training command, or none."""

    def plan():
        args = demo.parse().parse_args(
            ["--out", str(tmp_path), "--from-scratch", "--iterations", "100"]
        )
        return next((step for step in demo.plan(args) if step[0] == "train"), None)

    return plan


def test_a_training_that_was_started_is_resumed_and_one_that_is_done_left_out(plan_demo, tmp_path):
    assert "--resume" not in plan_demo()
    (tmp_path / "train").mkdir()
    assert "--resume" not in plan_demo()  # the folder alone is no run
    (tmp_path / "train/.lock").touch()
    assert "--resume" in plan_demo()
    (tmp_path / "train/iter_100.pth").touch()
    assert plan_demo() is None


def test_the_packages_weights_are_scored_where_none_are_trained(tmp_path):
    steps = demo.plan(demo.parse().parse_args(["--out", str(tmp_path)]))
    tools = [step[0] for step in steps]
    assert tools == ["make_mini_data", "robustness", "show_failures", "report"]
    assert steps[1][2] == str(demo.WEIGHTS)
    demo.check_weights(demo.WEIGHTS)
    other = tmp_path / "other.pth"
    other.write_bytes(b"other")
    with pytest.raises(InputError, match=r"has sha256 .*: install stl_backbones anew, or use --fr"):
        demo.check_weights(other)


@pytest.mark.parametrize(
    ("flags", "words"), [("avx2 amx_bf16", ["--amp"]), ("avx2 avx512f", []), (None, [])]
)
def test_bfloat16_where_the_cpu_computes_in_it(tmp_path, flags, words):
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu {flags} sse2\n")
    assert demo.precision(tmp_path / "cpuinfo") == words


def test_checkpoints_are_written_on_the_way(plan_demo):
    assert "default_hooks.checkpoint.interval=5" in plan_demo()


@pytest.mark.slow
def test_an_interrupted_demo_goes_on_from_its_last_checkpoint(repo_root, tmp_path):
    words = [
        sys.executable,
        "tools/demo.py",
        "--out",
        tmp_path / "demo",
        "--from-scratch",
        "--iterations",
        "40",
    ]

    def run_until(reached):
        """Start the demo, and press Ctrl-C once a checkpoint is there; returns what it printed."""
        shown = tmp_path / "shown.txt"
        with shown.open("w") as file:
            demo = subprocess.Popen(words, cwd=repo_root, stdout=file, start_new_session=True)
            try:
                while not reached(last()):
                    assert demo.poll() is None
                    time.sleep(0.1)
                os.killpg(demo.pid, signal.SIGINT)
                assert demo.wait(120) == 130
            finally:
                if demo.poll() is None:
                    os.killpg(demo.pid, signal.SIGKILL)
                    demo.wait()
        return shown.read_text(encoding="utf-8")

    def last():
        """The step that a run would go on from; the file of the next one may be there already."""
        path = tmp_path / "demo/train/last_checkpoint"
        return int(Path(path.read_text(encoding="utf-8")).stem[5:]) if path.is_file() else 0

    run_until(lambda step: step >= 4)
    kept = last()
    shown = run_until(lambda step: step > kept)
    assert f"Saving checkpoint at {kept + 2} iterations" in shown
    assert "Saving checkpoint at 2 iterations" not in shown


@pytest.mark.slow
def test_the_demo_runs_to_its_report_and_does_nothing_twice(run_tool, tmp_path):
    words = ("--out", tmp_path / "demo", "--from-scratch", "--iterations", "30", "--limit", "1")
    done = run_tool("demo.py", *words, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "demo/report/index.html").read_text(encoding="utf-8")
    assert "LIMITED" in page
    with (tmp_path / "demo/report/cells.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 73
    again = run_tool("demo.py", *words, timeout=300)
    assert "train.py" not in again.stdout
    assert again.stderr.count("1/1 images") == 1  # one line for what is there already
