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
    assert "corruptions on-the-fly" in done.stdout
    assert done.stdout.splitlines()[-1] == f"report: {tmp_path / 'out' / 'deep' / 'index.html'}"


def test_a_terminal_shows_tables_and_a_path_and_nothing_twice(tool, make_classified):
    folder = make_classified(
        cells="all", model="R&D <net_1>", notes=("a note",), dataset="a & b", imagenet_val=False
    )
    lines = tool(folder).stdout.splitlines()
    got = [line for line in lines if line and not line.startswith("|")]
    assert len(set(got)) == len(got)
    assert len([line for line in lines if "a note" in line]) == 1
    assert len([line for line in lines if "fingerprint" in line]) == 1
    assert len([line for line in lines if line.startswith("| R&D <net_1> ")]) == 2
    assert len(lines) < 60
    assert not [line for line in lines if "\\" in line or "**" in line]
    assert lines[0] == "Robustness on a & b"


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
        "import sys; from stl_backbones.report.write import make_report; "
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


def test_requirements_that_hold_are_exit_code_0(tool, make_classified):
    done = tool(make_classified(), "--require", "average >= 0.5", "--require", "fog/5 >= 0.30")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("passed") == 2


def test_requirements_that_do_not_are_named_with_exit_code_1(tool, make_classified):
    folders = [make_classified("a", model="A"), make_classified("b", model="B")]
    bounds = ("--require", "average >= 0.6", "--require", "clean >= 0.8")
    done = tool(*folders, *bounds, "--require", "imagenet-a>0")
    assert done.returncode == 1
    value = r"0.5 (95 % interval "
    lines = done.stderr.splitlines()
    assert [line.partition(value)[0] for line in lines] == [
        "FAILED: A: average >= 0.6: ",
        "FAILED: B: average >= 0.6: ",
        "FAILED: A: imagenet-a > 0: not measured: set imagenet-a",
        "FAILED: B: imagenet-a > 0: not measured: set imagenet-a",
    ]
    assert "FAILED" in (folders[0] / "report" / "report.md").read_text(encoding="utf-8")


def test_the_lower_bound_decides_on_request(tool, make_classified):
    folder = make_classified()
    assert tool(folder, "--require", "clean >= 0.75").returncode == 0
    done = tool(folder, "--require", "clean >= 0.75", "--require-lower-bound")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("judged by its lower bound")


def test_it_compares_two(tool, make_classified):
    done = tool(make_classified("a", model="A"), make_classified("b", model="B"), "--compare")
    assert done.returncode == 0
    assert "Paired difference (%, NLL in nats): B minus A" in done.stdout
    line = next(x for x in done.stdout.split("Paired")[1].splitlines() if x.startswith("| Clean"))
    assert [cell.strip() for cell in line.split("|")[2:6]] == [
        "80.0", "80.0", "0.0 (0.0 to 0.0)", "1.000",
    ]  # fmt: skip


def test_detectors_are_compared_with_resamples_alone(tool, make_detected):
    folders = make_detected("a", model="A"), make_detected("b", model="B", masks=False)
    done = tool(*folders, "--compare")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--compare needs resamples: expected --resamples of at least 1" in done.stderr
    done = tool(*folders, "--compare", "--resamples", "20", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Paired difference (%): B minus A" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--require", "averge >= 0.6"), "--require knows no 'averge' under protocol"),
        (("--require", "average"), "--require takes 'NAME OP NUMBER'"),
        (("--require", "average >= 60"), "--require takes fractions, 0.60 for 60 %"),
        (("--compare",), "--compare takes two folders, got 1"),
        (("--resamples", "-1"), "--resamples: expected a whole number in 0.."),
        (("--require", "fog > 0", "--require-lower-bound", "--resamples", "0"), "needs resamples"),
    ],
)
def test_bad_requirements_are_one_line_and_exit_code_2(tool, make_classified, options, message):
    folder = make_classified()
    done = tool(folder, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "report").exists()
