"""From sweep folders to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stl_backbones.errors import InputError
from stl_backbones.report.contents import make_contents
from stl_backbones.report.gallery import read_gallery, write_pictures
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.numbers.breaking import check_bound, parse_bound
from stl_backbones.report.numbers.means import mean_of_measured, parse_means
from stl_backbones.report.numbers.requirements import Verdict, judge, parse_requirement
from stl_backbones.report.numbers.slices import cut_findings
from stl_backbones.report.per_image import write_images
from stl_backbones.report.published.tables import check_published
from stl_backbones.report.read.bundles import open_bundles, report_place
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.metrics import find_task
from stl_backbones.report.read.real_labels import check_real_sweeps, read_real_labels
from stl_backbones.report.read.runs import Run, default_resamples, read_runs, stopped_mark
from stl_backbones.report.read.slice_columns import find_columns
from stl_backbones.report.render import csv_files, html, latex, markdown, terminal
from stl_backbones.results.atomic import write_atomically


@dataclass(frozen=True)
class ReportFiles:
    """What a report came to.

    Attributes:
        text: The main tables, for the terminal.
        folder: Where the files are.
        page: The HTML page among them.
        verdicts: Whether the requirements are met, one per model and requirement.
    """

    text: str
    folder: Path
    page: Path
    verdicts: tuple[Verdict, ...] = ()

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The requirements that are not met."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def make_report(
    folders: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    protocol: str | None = None,
    names: Sequence[str] | None = None,
    paper: bool = False,
    partial: bool = False,
    precision: int = 1,
    compare: bool = False,
    means: Sequence[str] = (),
    breaking_point: str | None = None,
    require: Sequence[str] = (),
    require_lower_bound: bool = False,
    resamples: int | None = None,
    seed: int = 0,
    per_image: bool = False,
    embed_pictures: bool = False,
    slices: str | Path | Sequence[str | Path] = (),
    stopped: bool = False,
    real_labels: str | Path | None = None,
    published: Sequence[str] = (),
) -> ReportFiles:
    """Write the report of one or several models on one data set.

    Writes ``report.md``, ``table.csv``, ``cells.csv`` and ``aggregates.csv`` (unrounded),
    ``table.tex`` and ``index.html``, whose bytes depend on the sweeps and these arguments alone;
    by class ``classes.csv`` and ``flows.csv``; for classification ``classification.csv`` and
    ``other_images.csv``, with ``compare`` ``comparison.csv``; for detection
    ``detection.csv`` and, with masks, ``masks.csv``.

    Args:
        folders: Sweep folders, or bundles of them, one model each.
        out: Where to write; ``None`` means ``report`` in the first folder.
        protocol: Name of a protocol; ``None`` takes the recorded one.
        names: Labels, one per folder; ``None`` takes the recorded model names.
        paper: Add the paper's rows.
        partial: Print dashes for missing cells in place of refusing.
        precision: Decimals of printed percentages, 0 to 6.
        compare: Add the paired difference of the two models.
        means: Means of one's own choice, such as ``'winter=snow,frost'``; with ``partial`` and
            missing cells there is one over the corruptions that are whole, ``measured``.
        breaking_point: The score below which a model is broken, ``'0.5'`` or ``'50% of clean'``:
            adds the severity of each corruption at which that happens, ``breaking_points.csv``.
        require: Bounds such as ``'average >= 0.60'``; the report is written whether or not they
            are kept.
        require_lower_bound: Judge by the unfavourable end of the interval.
        resamples: Bootstrap resamples behind intervals; 0 for none. ``None``: 1,000, and none for
            detection, where they take their time.
        seed: Decides the resamples.
        per_image: Write ``images.csv`` too: every image in every cell.
        embed_pictures: Put the pictures of failures that the folders hold into the page, and not
            beside it.
        slices: CSV files (image id, then columns of one's own) and properties of images, such as
            ``'brightness'``: all numbers for each of their values, and ``slices.csv``.
        stopped: Accept sweeps that stopped early beside other rows, the paper's among them.
        published: Whose published numbers to show: ``'robustbench'``, ``'timm'``,
            ``'semsegbench'``, ``'robust-detection'``, ``'c-bar'``; see
            docs/how-to/published_numbers.md.
        real_labels: ReaL's ``real.json``: adds the accuracy by its labels in every cell.

    Raises:
        IncompleteRunsError: If cells are missing and ``partial`` is not set.
        FileNotFoundError: If a folder holds no sweep.
        KeyError: If the protocol, or a requirement's name, is unknown.
        ValueError: If the runs cannot share a table, a file is damaged, or an argument does not
            fit.
    """
    paths = open_bundles(folders)
    bound = None if breaking_point is None else parse_bound(breaking_point)
    requirements = [parse_requirement(text) for text in require]
    if resamples is None:
        resamples = default_resamples(paths)
    if not resamples and (compare or (require and require_lower_bound)):
        option = "--compare" if compare else "--require-lower-bound"
        raise InputError(
            f"{option} needs resamples: expected --resamples of at least 1 (detection has none "
            "unless it is given), got 0"
        )
    draws = Draws(resamples=resamples, seed=seed)
    more = () if real_labels is None else (read_real_labels(real_labels),)
    chosen, runs = read_runs(paths, protocol=protocol, names=names, partial=partial, draws=draws,
                             stopped=stopped, more=more)  # fmt: skip
    if more:
        check_real_sweeps(runs)
    asked = [slices] if isinstance(slices, str | Path) else slices
    _check_records(runs, compare=compare, slices=bool(asked), per_image=per_image)
    _check_stopped(runs, compare=compare, require=bool(require), slices=bool(asked),
                   paper=paper and not stopped)  # fmt: skip
    own = {**mean_of_measured(runs, chosen), **parse_means(means, chosen)}
    task = find_task(runs[0].provenance.task)
    task = replace(task, cells=(*task.cells, *more)) if more else task
    if bound is not None:
        check_bound(bound, task.main)
    check_published(published, task.name)
    findings = Findings(runs, chosen, task, draws, paper, own, bound, published)
    verdicts = judge(requirements, findings, by_interval=require_lower_bound)
    gallery, pictures = read_gallery(runs, embed=embed_pictures)
    columns = find_columns(asked, runs, findings.task) if asked else ()
    report = make_contents(
        findings,
        precision=precision,
        compared=compare,
        verdicts=verdicts,
        gallery=gallery,
        slices=cut_findings(findings, columns),
    )
    files = {
        "report.md": markdown.render(report),
        "table.tex": latex.render(report),
        "index.html": html.render(report),
        **csv_files.render(report),
    }
    folder = report_place(folders[0]) if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        # The name of a file that is no UTF-8 has characters that have no bytes.
        write_atomically(folder / name, text.encode(errors="backslashreplace"))
    write_pictures(folder, pictures)
    if per_image:
        write_images(folder / "images.csv", runs, chosen, findings.task)
    return ReportFiles(terminal.render(report), folder, folder / "index.html", verdicts)


def _check_records(runs: Sequence[Run], *, compare: bool, slices: bool, per_image: bool) -> None:
    """Refuse what needs the records of images where a bundle has none."""
    lacking = [run.label for run in runs if not run.has_records]
    for option, is_asked in (
        ("--compare", compare), ("--slices", slices), ("--per-image", per_image),
    ):  # fmt: skip
        if is_asked and lacking:
            raise InputError(
                f"{option} needs the records of images; '{lacking[0]}' is a bundle without them"
            )


def _check_stopped(
    runs: Sequence[Run], *, compare: bool, require: bool, slices: bool, paper: bool
) -> None:
    """Refuse what estimates of a part of the images are not good enough for."""
    marks = [f"'{run.folder}' {mark}" for run in runs if (mark := stopped_mark(run.provenance))]
    for option, is_asked, remedy in (
        ("--compare", compare, "sweep with --until 'average > SWEEP_DIR'"),
        ("--require", require, "its own verdict is the one with a guarantee"),
        ("--slices", slices, "a part of the images is too few to cut"),
        ("--paper", paper, "--stopped accepts them beside the paper's rows, with a mark"),
    ):
        if is_asked and marks:
            raise InputError(
                f"{marks[0]}: {option} is for sweeps of all images; {remedy}, or go on to all of "
                "them by the same command without --until"
            )
