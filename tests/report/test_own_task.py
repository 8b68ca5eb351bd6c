"""A task of a user's own, in one module, has a report like the built-in ones."""

import csv
import io
import textwrap
from unittest import mock

import numpy as np
import pytest

from stl_backbones.corruptions import import_modules
from stl_backbones.corruptions.protocols import CUSTOM_PROTOCOLS, Protocol
from stl_backbones.records import CellResult, Provenance
from stl_backbones.report import Task, get_task, make_report, register_task
from stl_backbones.report.contents import make_contents
from stl_backbones.report.read.metrics import TASKS, SumMetric
from stl_backbones.report.render import html, markdown
from stl_backbones.report.sections import Table
from stl_backbones.results import CellStore

RAIN = Protocol("rain", {"weather": ("fog", "snow")}, "this test", {"fog": (1, 2), "snow": (3,)})
MODULE = """
    from stl_backbones.metrics import mean_of_terms
    from stl_backbones.report import SumMetric, Task, register_task
    from stl_backbones.report.sections import Column, Row, Table

    def terms(name):
        return lambda result: result.samples[name][:, None]

    class Depth(Task):
        def tables(self, findings):
            yield from super().tables(findings)
            column = Column("metres", "Metres", "Clean RMSE", unit="m", better="lower")
            rows = tuple(Row(run.label, {"metres": found["rmse:clean"].value})
                         for run, found in findings.pairs)
            yield Table("Depth of models", "Model", (column,), rows)

    register_task(Depth("depth", (
        SumMetric("abs_rel", "AbsRel", "mean relative error", lower_is_better=True,
                  terms=terms("error"), score_sums=mean_of_terms),
        SumMetric("rmse", "RMSE", "mean error per image", unit="m", lower_is_better=True,
                  terms=terms("metres"), score_sums=mean_of_terms),
    )))
"""


@pytest.fixture
def write_depth(own_catalog, tmp_path, plain_record):
    """Write a sweep: the relative error is its severity in tenths, snow's twice that."""
    CUSTOM_PROTOCOLS["rain"] = RAIN

    def write(name, *, model="D", factor=1.0):
        record = {**plain_record, "task": "depth", "model": model, "protocol": "rain"}
        provenance = Provenance(**record)
        store = CellStore(tmp_path / name)
        with store.writing(provenance):
            for cell in RAIN.cells():
                error = factor * (0.05 + 0.1 * cell.severity * (1 + (cell.corruption == "snow")))
                samples = {"error": np.array([error, error]), "metres": np.array([1.5, 2.5])}
                store.write(CellResult(cell, provenance, ("a", "b"), samples))
        return store.folder

    with mock.patch.dict(TASKS):
        yield write


@pytest.fixture
def own_module(tmp_path):
    path = tmp_path / "own_depth.py"
    path.write_text(textwrap.dedent(MODULE), encoding="utf-8")
    return path


def test_a_module_registers_a_task_with_a_table_of_its_own(write_depth, own_module):
    import_modules([str(own_module)])
    folders = [write_depth("one"), write_depth("two", model="E", factor=2.0)]
    made = make_report(folders, require=["abs_rel <= 0.2"], compare=True, resamples=5)
    assert "AbsRel (%), protocol rain:" in made.text
    assert "| D     |   5.0 |" in made.text
    # fog 0.15 and 0.25, snow 0.65: the means are 0.2 and 0.65
    assert "42.5" in made.text
    own = made.text.split("Depth of models:")[1].split("Aggregates")[0]
    assert "| D     |  2.000 |" in own
    assert "Aggregates (%, RMSE in m):" in made.text
    read = lambda name: (made.folder / name).read_text(encoding="utf-8")  # noqa: E731
    row = next(csv.DictReader(io.StringIO(read("table.csv"))))
    assert float(row["snow_abs_rel_fraction"]) == pytest.approx(0.65)
    assert "retention_fraction" not in row
    assert float(next(csv.DictReader(io.StringIO(read("cells.csv"))))["rmse_m"]) == 2.0
    page = read("index.html")
    assert "Depth of models" in page
    assert "Snow (65.0 %)" in page  # the weakest is the one of the highest error
    assert "<strong>5.0</strong>" in page  # the best the one of the lowest
    assert not made.failed


def test_published_rows_are_refused_for_it(write_depth, own_module):
    import_modules([str(own_module)])
    with pytest.raises(ValueError, match="no rows for protocol 'rain' and task 'depth'"):
        make_report([write_depth("one")], paper=True)


def test_the_tool_takes_its_module(write_depth, own_module, run_tool, tmp_path):
    folder = write_depth("one")
    own_module.write_text(
        own_module.read_text()
        + "from stl_backbones.corruptions.protocols import Protocol\n"
        + "from stl_backbones.corruptions import register_protocol\n"
        + "register_protocol(Protocol('rain', {'weather': ('fog', 'snow')}, 'a test',"
        + " {'fog': (1, 2), 'snow': (3,)}))\n"
    )
    done = run_tool("report.py", folder, "--custom-imports", own_module)
    assert (done.returncode, done.stderr) == (0, "")
    assert "AbsRel (%), protocol rain:" in done.stdout
    done = run_tool("report.py", folder)
    assert done.returncode == 2
    assert "no report for task 'depth'; expected one of segmentation, " in done.stderr
    assert "--custom-imports" in done.stderr


def test_a_task_is_registered_once():
    with mock.patch.dict(TASKS), pytest.raises(ValueError, match="'detection' is registered twice"):
        register_task(Task("detection", get_task("segmentation").cells))


def test_the_main_number_may_have_a_unit(write_depth, findings_of):
    register_task(
        Task("depth", (SumMetric("rmse", "RMSE", "mean error", "m", lower_is_better=True,
                                 terms=lambda result: result.samples["metres"][:, None],
                                 score_sums=lambda sums, n: 10 * sums[:, 0] / n),))
    )  # fmt: skip
    report = make_contents(findings_of([write_depth("one")]))
    table = next(one for one in report.sections if isinstance(one, Table))
    assert table.title == "RMSE (m), protocol rain"
    assert table.text(table.rows[0], table.columns[0], 1) == "20.000"
    page = html.render(report)
    assert "<title>Fog, severity 2: 20.000 m</title>" in page
    assert "20.000<small>m</small>" in page
    assert "RMSE, mean error; in m\n" in markdown.render(report)


def test_an_unknown_kind_of_section_is_left_out(findings_of, make_store):
    report = make_contents(findings_of([make_store()]))
    before = markdown.render(report), html.render(report)
    object.__setattr__(report, "sections", (*report.sections, object()))
    assert (markdown.render(report), html.render(report)) == before
