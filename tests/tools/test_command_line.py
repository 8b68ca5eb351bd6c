"""Every tool: help, and bad input as one line and exit code 2."""

from pathlib import Path

import pytest

TOOLS = sorted(path.name for path in (Path(__file__).parents[2] / "tools").glob("*.py"))
CONFIG = "configs/seg/stl_fan_t_mini.py"


@pytest.mark.parametrize("tool", TOOLS)
def test_help(run_tool, tool):
    done = run_tool(tool, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {tool}")


@pytest.mark.parametrize(
    ("tool", "words", "message"),
    [
        ("train.py", ["gone.py"], "config 'gone.py' does not exist"),
        ("train.py", [CONFIG, "--cfg-options", "data_root"], "takes NAME=VALUE, got 'data_root'"),
        ("train.py", [CONFIG, "--cfg-options", "data_rot=x"], "did you mean data_root"),
        ("train.py", [CONFIG, "--cfg-options", "data_root=/gone"], "'/gone/leftImg8bit/train' doe"),
        ("train.py", [CONFIG, "--launcher", "pytorch"], "needs RANK, WORLD_SIZE, LOCAL_RANK"),
        ("train.py", [CONFIG, "--work-dir", "setup.py"], "exists: 'setup.py'"),
        ("test.py", [CONFIG, "gone.pth"], "checkpoint 'gone.pth' does not exist"),
        ("robustness.py", [CONFIG, "gone.pth"], "checkpoint 'gone.pth' does not exist"),
        ("robustness.py", [CONFIG, "setup.py"], "'setup.py' is truncated or no checkpoint"),
        ("robustness.py", [CONFIG, "x", "--protocol", "y"], "unknown protocol 'y'; expected one"),
        ("robustness.py", [CONFIG, "x", "--corruptions", "y"], "unknown corruption 'y'"),
        ("robustness.py", [CONFIG, "x", "--mode", "quick"], "--mode: invalid choice: 'quick'"),
        ("robustness.py", [CONFIG, "x", "--custom-imports", "gone"], "no module 'gone' to import"),
        ("report.py", ["x", "--custom-imports", "gone.py"], "module file 'gone.py' does not exist"),
        ("convert_checkpoint.py", ["gone.tar", "x.pth"], "checkpoint 'gone.tar' does not exist"),
        ("convert_checkpoint.py", ["setup.py", "x.pth"], "truncated or no checkpoint"),
        (
            "convert_checkpoint.py",
            ["setup.py", "gone/x.pth"],
            "converted file's folder 'gone' does not",
        ),
        ("report.py", ["gone"], "'gone' holds no sweep"),
    ],
)
def test_bad_input_is_one_line(run_tool, tmp_path, tool, words, message):
    needs_folder = tool in ("train.py", "test.py", "robustness.py") and "--work-dir" not in words
    words = [*words, *(["--work-dir", tmp_path] if needs_folder else [])]
    done = run_tool(tool, *words)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line.startswith(f"{tool}: error: ")
    assert message in line
    assert "Traceback" not in done.stderr


def test_debug_shows_where(run_tool, tmp_path):
    done = run_tool("report.py", tmp_path, "--debug")
    assert "Traceback" in done.stderr
