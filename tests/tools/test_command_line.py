"""Every tool: help, and bad input as one line and exit code 2."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

TOOLS_FOLDER = Path(__file__).parents[2] / "tools"
TOOLS = sorted(path.name for path in TOOLS_FOLDER.glob("*.py"))
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
def test_bad_input_is_one_line(tmp_path, monkeypatch, capfd, tool, words, message):
    needs_folder = tool in ("train.py", "test.py", "robustness.py") and "--work-dir" not in words
    words = [*words, *(["--work-dir", str(tmp_path)] if needs_folder else [])]
    monkeypatch.setattr(sys, "argv", [f"tools/{tool}", *words])
    monkeypatch.chdir(TOOLS_FOLDER.parent)
    main = import_module(f"stl_backbones.cli.commands.{Path(tool).stem}").main
    try:
        code = main(words)
    except SystemExit as ended:  # of a word that the parser refuses
        code = ended.code
    said = capfd.readouterr().err
    assert code == 2, said
    check_line(said, tool, message)


def check_line(said, tool, message):
    (line,) = said.strip().splitlines()[-1:]
    assert line.startswith(f"{tool}: error: ")
    assert message in line
    assert "Traceback" not in said


def test_bad_input_is_the_processs_exit_code(run_tool):
    done = run_tool("robustness.py", CONFIG, "gone.pth")
    assert done.returncode == 2, done.stderr
    check_line(done.stderr, "robustness.py", "checkpoint 'gone.pth' does not exist")


def test_debug_shows_where(run_tool, tmp_path):
    done = run_tool("report.py", tmp_path, "--debug")
    assert "Traceback" in done.stderr
