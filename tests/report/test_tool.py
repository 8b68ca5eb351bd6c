import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(ROOT / "tools" / "report.py"), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        )

    return run


def test_it_prints_the_table_and_the_page(tool, make_store, tmp_path):
    folder = make_store()
    done = tool(folder, "--out", tmp_path / "out" / "deep", "--names", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert "| mine " in done.stdout
    assert "Corruptions: on-the-fly" in done.stdout
    assert done.stdout.splitlines()[-1] == f"report: {tmp_path / 'out' / 'deep' / 'index.html'}"


def test_the_default_place_is_in_the_first_folder(tool, make_store):
    folder = make_store()
    assert tool(folder).returncode == 0
    assert (folder / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "'FAN' lacks 1: fog-3"),
        (("--partial", "--names", "a", "b"), "got 2 names for 1 folders"),
        (("--partial", "--protocol", "nonsense"), "unknown protocol 'nonsense'"),
        (("--partial", "--protocol", "coco-c", "--paper"), "--paper has no rows"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tool, make_store, options, message):
    folder = make_store(without=("fog-3",))
    done = tool(folder, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not (folder / "report").exists()


def test_reporting_loads_no_deep_learning_framework(make_store):
    code = (
        "import sys; from stl_backbones.apis.report import make_report; "
        f"make_report([{str(make_store())!r}]); "
        "print([m for m in ('torch', 'timm', 'mmengine', 'mmcv', 'mmseg') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"
