"""What a sweep came to, as tables of pandas, as a report, and in a notebook."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stl_backbones.errors import InputError
from stl_backbones.failures.choose import DEFAULT_COUNT
from stl_backbones.failures.show import Failures, Wanted, show_failures
from stl_backbones.packages import require
from stl_backbones.paths import check_folder
from stl_backbones.records import Provenance
from stl_backbones.report.contents import make_contents
from stl_backbones.report.numbers.aggregates import Findings
from stl_backbones.report.read.cells import Draws
from stl_backbones.report.read.metrics import find_task
from stl_backbones.report.read.runs import default_resamples, read_runs
from stl_backbones.report.render import csv_files, html
from stl_backbones.report.write import ReportFiles, make_report
from stl_backbones.robustness.options import SweepOptions

_INDEX = ["model", "set", "corruption", "severity"]


class Result:
    """The sweeps of one or several models on the same data.

    Args:
        folders: Their folders.

    Attributes:
        outcome: What a call with ``until`` came to; ``None`` without, and of what is loaded.

    Raises:
        MissingFileError: If one is missing.
        InputError: If they cannot share a table.
    """

    outcome: Any = None

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.folders = tuple(check_folder(folder, "sweep folder") for folder in folders)
        self.sweep: tuple[Any, SweepOptions] | None = None  # of `evaluate`: model and options

    def table(self, *, resamples: int = 0) -> Any:
        """The protocol's table: a ``DataFrame``, one row a model, fractions.

        Its columns are named as in ``table.csv``, the unit at the end; what the numbers were
        measured with is in ``attrs``.
        """
        frame = self._frame("table", resamples)
        return frame.drop(columns="source").set_index("model")

    def cells(self, *, resamples: int | None = None) -> Any:
        """Every cell: a ``DataFrame``, one row a model, set, corruption, severity and metric.

        ``'clean'`` has severity 0. ``value`` is unrounded; ``low`` and ``high`` are the ends of its
        95 % interval.

        Args:
            resamples: Of the bootstrap; default: 1000, and none for detection.
        """
        import pandas

        wide = self._frame("cells", resamples)
        ends = [name for name in wide.columns if "_low_" in name]
        parts = []
        for low in ends:
            metric, _, unit = low.rpartition("_low_")
            names = {f"{metric}_{unit}": "value", low: "low", f"{metric}_high_{unit}": "high"}
            part = wide[_INDEX + list(names)].rename(columns=names)
            part.insert(len(_INDEX), "metric", metric)
            part.insert(len(_INDEX) + 1, "unit", unit)
            parts.append(part)
        found = pandas.concat(parts, ignore_index=True)
        return found[found["value"].notna()].reset_index(drop=True)

    def images(self) -> Any:
        """Every image in every cell: a ``DataFrame`` as in ``images.csv``."""
        import pandas

        with TemporaryDirectory() as folder:
            make_report(self.folders, out=folder, partial=True, resamples=0, per_image=True)
            return pandas.read_csv(Path(folder) / "images.csv")

    def report(self, out: str | Path | None = None, **options: Any) -> ReportFiles:
        """Write the page and files of ``tools/report.py``.

        Args:
            out: Where; default: ``report`` in the first folder.
            **options: As for `stl_backbones.report.write.make_report`.
        """
        return make_report(self.folders, out=out, **{"partial": True, **options})

    def failures(
        self,
        *,
        cells: Sequence[str] = (),
        count: int = DEFAULT_COUNT,
        by: str = "drop",
        **wanted: Any,
    ) -> Failures:
        """Draw the images that the model loses most on; a notebook shows them.

        Only for a result of `stl_backbones.evaluate`, which has the model at hand; of a loaded one
        `stl_backbones.show_failures` takes it again, with the same arguments.

        Args:
            cells: Such as ``'fog/5'``; none: of the three corruptions that cost most the strongest.
            count: Pictures, shared evenly among the cells.
            by: ``'drop'``, ``'worst'``, ``'class:NAME'`` or ``'random'``.
            **wanted: ``picture_format``, ``least_score``, ``out``, see
                `stl_backbones.failures.show.Wanted`.

        Raises:
            InputError: If the model is not at hand, or nothing is to be shown.
            MissingFileError: If the sweep has no such cell.
        """  # fmt: skip
        if self.sweep is None:
            raise InputError(
                "a loaded result has no model at hand: call stl_backbones.show_failures(result, "
                "model, data, ...) with the arguments of evaluate"
            )
        source, options = self.sweep
        asked = Wanted(cells=cells, count=count, by=by, **wanted)
        return show_failures(source, options, self.folders[0], wanted=asked)

    @property
    def provenance(self) -> tuple[Provenance, ...]:
        """What each model's numbers were measured with."""
        return tuple(run.provenance for run in self.findings(0).runs)

    def findings(self, resamples: int | None) -> Findings:
        """The runs and their aggregates, with intervals of so many resamples."""
        count = default_resamples(self.folders) if resamples is None else resamples
        draws = Draws(resamples=count)
        protocol, runs = read_runs(
            self.folders, partial=True, draws=draws, stopped=len(self.folders) == 1
        )
        return Findings(runs, protocol, find_task(runs[0].provenance.task), draws)

    def _frame(self, name: str, resamples: int | None) -> Any:
        require("a table of pandas", "pandas")
        import pandas

        findings = self.findings(resamples)
        report = make_contents(findings)
        frame = pandas.read_csv(io.StringIO(csv_files.render(report)[f"{name}.csv"]))
        measured = [one for one in report.records[""] if one in frame.columns]
        frame.attrs["measured"] = {
            run.label: {one: report.records[run.label][one] for one in measured}
            for run in findings.runs
        }
        return frame.drop(columns=measured)

    def __repr__(self) -> str:
        return f"Result({', '.join(map(str, self.folders))})"

    def _repr_html_(self) -> str:
        """The report's page, in a frame whose script reaches nothing outside of it."""
        page = html.render(make_contents(self.findings(0)))
        return (
            f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" title="robustness report" '
            'style="width: 100%; height: 36em; border: 1px solid #8888"></iframe>'
        )


def load(folder: str | Path) -> Result:
    """The result of a sweep that was made before, by whichever face.

    Raises:
        MissingFileError: If the folder is missing, or holds no sweep.
    """
    result = Result([folder])
    result.provenance  # noqa: B018  refuses a folder that is no sweep
    return result


def compare(
    first: Result | str | Path, second: Result | str | Path, *, resamples: int = 1000
) -> Any:
    """Paired differences of two models on the same images: second minus first.

    Args:
        first: A model.
        second: Another, swept on the same data in the same way.
        resamples: Of the bootstrap.

    Returns:
        A ``DataFrame`` with a row per aggregate: first, second, difference, low and high, the ends
        of its 95 % interval, and the two-sided p value, not corrected for the number of rows.

    Raises:
        InputError: If they were not scored on the same images in the same way.
    """
    require("a table of pandas", "pandas")
    import pandas

    both = Result([*_folders(first), *_folders(second)])
    report = make_contents(both.findings(resamples), compared=True)
    frame = pandas.read_csv(io.StringIO(csv_files.render(report)["comparison.csv"]))
    columns = ["aggregate", "first", "second", "difference", "low", "high", "p_value", "unit"]
    return frame[columns].set_index("aggregate")


def _folders(result: Result | str | Path) -> tuple[Path, ...]:
    return (load(result) if isinstance(result, str | Path) else result).folders


__all__ = ["Result", "compare", "load"]
