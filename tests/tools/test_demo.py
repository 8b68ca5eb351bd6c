import csv

import pytest


@pytest.mark.slow
def test_the_demo_runs_to_its_report_and_does_nothing_twice(run_tool, tmp_path):
    words = ("--out", tmp_path / "demo", "--iterations", "30", "--limit", "1")
    done = run_tool("demo.py", *words, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "demo/report/index.html").read_text(encoding="utf-8")
    assert "LIMITED" in page
    with (tmp_path / "demo/report/cells.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 73
    again = run_tool("demo.py", *words, timeout=300)
    assert "not trained again" in again.stdout
    assert again.stdout.count("there  ETA") == 1  # one line for what is there already
