import csv
import dataclasses
import html
import io
import re

import numpy as np
import pytest

from stl_backbones.records import CLEAN, Cell
from stl_backbones.report import get_task
from stl_backbones.report.contents import make_contents
from stl_backbones.report.paper.tables import read_paper_table
from stl_backbones.report.read.runs import read_runs
from stl_backbones.report.render import latex, markdown
from stl_backbones.report.write import make_report
from stl_backbones.results import CellStore

FILES = (
    "aggregates.csv",
    "cells.csv",
    "classes.csv",
    "flows.csv",
    "index.html",
    "report.md",
    "table.csv",
    "table.tex",
)


def texts(folder):
    return {name: (folder / name).read_text(encoding="utf-8") for name in FILES}


def report_of(folders, **options):
    return texts(make_report(folders, **options).folder)


def row_of(markdown_text, label):
    line = next(line for line in markdown_text.splitlines() if line.startswith(f"| {label}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_main_row_is_rounded_percent_in_the_layout_of_table_13(make_store):
    text = report_of([make_store()])["report.md"]
    noise, other = ["30.0"] * 4, ["50.0"] * 4
    assert row_of(text, "FAN") == ["80.0", "45.0", "56.2", *other, *noise, *other, *other]
    names = "Motion Defoc Glass Gauss Gauss Impul Shot Speck Bright Contr Satur JPEG"
    lines = [line.replace("|", " ").split() for line in text.splitlines()]
    assert ["Model", "Clean", "Avg", "Ret", "Blur", "Noise", "Digital", "Weather"] in lines
    assert [*names.split(), "Snow", "Spatt", "Fog", "Frost"] in lines


def test_markdown_columns_are_aligned(make_store):
    text = report_of([make_store(model="a|b <x>")])["report.md"]
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 2 + 1 + 5 + 2  # main, aggregates; by corruption, severity; flows, classes
    for table in tables:
        assert len({len(line) for line in table.splitlines()}) == 1
    assert r"a\|b \<x\>" in text


def test_marks_tell_missing_from_outside_the_protocol(make_store):
    text = report_of([make_store(without=("fog-4",))], partial=True)["report.md"]
    fourth = text.split("### Severity 4")[1].split("###")[0]
    row = row_of(fourth, "FAN")
    assert row[4:8] == ["·"] * 4  # the noises end at severity 3
    assert row[14] == "-"
    assert row[12] == "50.0"
    main = row_of(text, "FAN")
    assert main[:3] == ["80.0", "-", "-"]
    assert main[17] == "-"
    assert "0.0" not in main


def test_partial_says_so_in_every_format(make_store):
    made = report_of([make_store(without=("fog-4",))], partial=True)
    for name in ("report.md", "table.tex", "index.html"):
        assert "PARTIAL: FAN has 72 of 73 cells; missing fog" in made[name]
    row = next(csv.DictReader(io.StringIO(made["table.csv"])))
    assert (row["cells_measured"], row["cells_total"]) == ("72", "73")
    assert row["average_miou_fraction"] == ""


def test_a_limited_data_set_says_so_in_every_format(make_store):
    made = report_of([make_store(num_images_total=500, skipped=("broken_one",))])
    for name in ("report.md", "table.tex", "index.html"):
        assert "LIMITED: 2 of 500 images" in made[name]
    assert "SKIPPED broken files: broken_one" in made["report.md"]
    row = next(csv.DictReader(io.StringIO(made["cells.csv"])))
    assert (row["num_images"], row["num_images_total"]) == ("2", "500")


def test_provenance_is_in_every_format(make_store):
    made = report_of([make_store()])
    for text in made.values():
        for fact in ("stl-cityscapes-c", "f1" * 16, "imagecorruptions-imaug 1.1.5", "ab" * 6):
            assert fact in text
    assert "RGB order, seed 0" in made["report.md"]


def test_nothing_counted_is_not_a_number(make_store, findings_of):
    findings = findings_of([make_store()])
    findings.runs[0].replicates["miou"][Cell("fog", 1)][:] = np.nan
    report = make_contents(findings)
    assert row_of(markdown.render(report), "FAN")[17] == "n/a"


def test_cells_csv_reads_back_unrounded(make_store):
    folder = make_store(percent=lambda cell: 77 if cell == CLEAN else 33)
    _, (run,) = read_runs([folder])
    rows = list(csv.DictReader(io.StringIO(report_of([folder])["cells.csv"])))
    read = {Cell(r["corruption"], int(r["severity"])): float(r["miou_fraction"]) for r in rows}
    assert read == run.scores
    assert len(rows) == 73


def test_table_csv_reads_back_unrounded_and_holds_the_papers_rows(make_store):
    folder = make_store(percent=lambda cell: 70 if cell == CLEAN else 33)
    rows = list(csv.DictReader(io.StringIO(report_of([folder], paper=True)["table.csv"])))
    assert float(rows[0]["retention_fraction"]) == pytest.approx(33 / 70, abs=1e-15)
    assert rows[0]["source"] == "own"
    best = next(row for row in rows if row["model"] == "STL (FAN-B-Hybrid)")
    assert best["source"] == "paper"
    assert best["average_miou_fraction"] == "0.686"
    assert best["snow_miou_fraction"] == "0.541"
    assert len(rows) == 1 + 19


def test_paper_rows_are_named_as_such_and_keep_the_printed_digits(make_store):
    text = report_of([make_store()], paper=True, precision=3)["report.md"]
    assert row_of(text, "FAN ")[0] == "80.000"
    assert row_of(text, "paper: STL (FAN-L-Hybrid)")[1] == "69.2"
    assert set(row_of(text, "paper: SegFormer-B1")[3:]) == {"-"}


@pytest.mark.parametrize("mode", ["fast", "torch"])
def test_rows_of_other_numbers_than_the_papers_are_marked_beside_them(make_store, mode):
    folders = [make_store(name, model=name, corruption_mode=mode) for name in ("A", "B")]
    note = f"measured in {mode} mode; use --mode exact for numbers beside published ones"
    made = report_of(folders, paper=True)
    for name in ("report.md", "table.tex", "index.html"):
        assert f"A, B: {note}" in made[name]
    assert row_of(made["report.md"], f"A ({mode} mode, other data)")[0] == "80.0"
    assert f"\nB ({mode} mode, other data) & " in made["table.tex"]
    assert f'<th scope="row">A ({mode} mode, other data)</th>' in made["index.html"]
    rows = list(csv.DictReader(io.StringIO(made["table.csv"])))
    assert [row["note"].split(". ")[-1] for row in rows[:3]] == [f"A: {note}", f"B: {note}", ""]
    assert [row["model"] for row in rows[:2]] == ["A", "B"]


@pytest.mark.parametrize(
    ("mode", "paper"), [("fast", False), ("exact", True), ("reference", True), ("files", True)]
)
def test_other_rows_are_not_marked(make_store, mode, paper):
    made = report_of([make_store(corruption_mode=mode)], paper=paper)
    assert not [name for name, text in made.items() if "use --mode exact" in text]
    assert f"({mode} mode)" not in made["report.md"]


def test_versions_of_ones_own_corruptions_are_in_the_provenance(make_store):
    made = report_of([make_store(custom_versions={"fog": "3", "hail": "1"})])
    assert "Corruptions beside the 19: fog 3\n" in made["report.md"]  # hail is in no column here
    row = next(csv.DictReader(io.StringIO(made["cells.csv"])))
    assert row["custom_versions"] == "fog 3; hail 1"


def test_the_best_of_two_own_models_is_bold_and_the_papers_never(make_store):
    folders = [make_store("a", model="A"), make_store("b", model="B", percent=lambda cell: 40)]
    made = report_of(folders, paper=True)
    line = next(line for line in made["table.tex"].splitlines() if line.startswith("A ("))
    assert line.startswith(r"A (other data) & \textbf{80.0} & \textbf{45.0} & 56.2 & \textbf{50.0}")
    paper = [x for x in made["table.tex"].splitlines() if x.startswith("paper:")]
    assert len(paper) == 19
    assert "textbf" not in "".join(paper)
    assert "<strong>80.0</strong>" in made["index.html"]


def test_other_data_than_the_papers_are_set_apart_in_every_format(make_store):
    """Two classes and images; the paper's table has Cityscapes' 19 and 500."""
    made = report_of([make_store()], paper=True)
    got = (
        "FAN: NOT COMPARABLE with the paper&#39;s rows: of &#39;tiny&#39;, 2 classes, 2 images; "
        "the paper&#39;s of Cityscapes val, 19 classes, 500 images"
    )
    assert got in made["index.html"]
    assert html.unescape(got) in made["table.tex"]
    assert "| FAN (other data) " in made["report.md"]
    row = next(csv.DictReader(io.StringIO(made["table.csv"])))
    assert row["note"] == html.unescape(got)


def test_the_papers_own_data_stand_beside_it(make_store):
    rows = read_paper_table("data_sets.csv")
    classes = tuple(row["class"] for row in rows if row["data_set"] == "Cityscapes val")
    record = CellStore(make_store()).provenance()
    task = get_task("segmentation")
    whole = dataclasses.replace(record, classes=classes, num_images=500, num_images_total=500)
    assert task.why_apart(whole) == ""
    few = dataclasses.replace(whole, num_images=20)
    assert task.why_apart(few) == "of 20 images, the paper's of Cityscapes val's 500"
    others = dataclasses.replace(whole, classes=(*classes[:-1], "van"))
    assert task.why_apart(others).startswith("of 'tiny', 19 classes, 500 images; the paper's of")


def test_one_model_has_no_best(make_store):
    made = report_of([make_store()], paper=True)
    assert "<strong>" not in made["index.html"]
    assert "textbf" not in made["table.tex"]


def test_latex_escapes_its_special_characters(make_store):
    assert latex.escape(r"50%_a&b #1 $x {y} ~^ \z") == (
        r"50\%\_a\&b \#1 \$x \{y\} \textasciitilde{}\textasciicircum{} \textbackslash{}z"
    )
    made = report_of([make_store(model="a_b & 5%")])["table.tex"]
    assert r"a\_b \& 5\% & 80.0" in made


def test_latex_has_booktabs_and_a_grouped_header(make_store):
    lines = report_of([make_store()])["table.tex"].splitlines()
    assert r"\multicolumn{4}{c}{Noise}" in next(line for line in lines if "{Blur}" in line)
    assert r"\cmidrule(lr){5-8} \cmidrule(lr){9-12} \cmidrule(lr){13-16}" in "\n".join(lines)
    rows = [line.count(" & ") for line in lines if line.startswith(("FAN &", "Model &"))]
    assert rows == [19, 19]


EVIL = "<script>alert('x')</script>"


def test_html_shows_names_and_never_runs_them(make_store):
    folder = make_store(model=EVIL, dataset=EVIL, classes=(EVIL, "\"'><img src=x>"), device=EVIL)
    page = report_of([folder])["index.html"]
    assert page.count("<script") == 1
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= 6


def test_html_loads_nothing(make_store):
    page = report_of([make_store()], paper=True)["index.html"]
    for loader in ("http:", "https:", "src=", "url(", "@import", "<link", "<iframe", "fetch("):
        assert loader not in page


def test_html_has_a_map_and_curves_of_every_cell(make_store):
    page = report_of([make_store(without=("fog-4",))], partial=True)["index.html"]
    heat = page.split('<table class="heat cells"')[1].split("</table>")[0]
    assert len(re.findall(r'<td class="q\d+" data-cell=', heat)) == 71
    assert heat.count('<td class="missing"') == 1
    assert heat.count('<td class="outside"') == 8
    assert page.count("<title>") == 1 + 71 + 16  # the page's, every cell's, clean in every curve
    assert "<title>Fog, severity 3: 50.0 %</title>" in page
    fog = re.findall(r'd="(M[^"]*)"', page.split('aria-label="Weather')[1])
    assert any(path.count("M") == 2 for path in fog)  # the line breaks, it does not bridge


def test_bytes_depend_on_the_inputs_alone(make_store, tmp_path):
    folders = [make_store("a", model="A"), make_store("b", model="B")]
    first = make_report(folders, out=tmp_path / "one", paper=True)
    second = make_report(folders, out=tmp_path / "two", paper=True)
    assert texts(first.folder) == texts(second.folder)
    assert sorted(path.name for path in first.folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("protocol", ["imagenet-c", "stl-imagenet-c", "all", "coco-c"])
def test_every_protocol_has_a_report(make_store, protocol):
    made = report_of([make_store(protocol=protocol)])
    assert f"protocol {protocol}" in made["report.md"]


def test_paper_without_published_rows_is_refused(make_store):
    with pytest.raises(ValueError, match="--paper has no rows for protocol 'all'"):
        make_report([make_store(protocol="all")], paper=True)


@pytest.mark.parametrize("precision", [-1, 7])
def test_precision_out_of_range_is_refused(make_store, precision):
    with pytest.raises(ValueError, match=rf"precision must be in 0\.\.6, got {precision}"):
        make_report([make_store()], precision=precision)


def test_lines_are_dashed_once_the_colours_are_used_up(make_store):
    folders = [make_store(f"run{number}") for number in range(8)]
    names = [f"model {number}" for number in range(8)]
    page = report_of(folders, names=names, resamples=0)["index.html"]
    lines = set(re.findall(r'<path class="(line s\d)" d="[^"]*"([^/]*)/>', page))
    solid = {(f"line s{number}", "") for number in range(7)}
    assert lines == solid | {("line s0", ' stroke-dasharray="6 3"')}
