"""Detection: the layout of the paper's Table 5, and masks by corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stl_backbones.corruptions.catalog import Protocol
from stl_backbones.report.aggregates import Aggregate
from stl_backbones.report.cell_metrics import TaskMetric
from stl_backbones.report.numbers import MARKS_NOTE
from stl_backbones.report.paper_detection import NOT_CORRUPTED, TABLE_5_NOTE, table_5_rows
from stl_backbones.report.runs import Run
from stl_backbones.report.table import (
    AVERAGE_MEANING,
    Column,
    Row,
    Table,
    Value,
    corruption_columns,
    mode_mark,
)

Found = Mapping[str, Aggregate]

MPC_NOTE = (
    "mPC: mean of AP over severities per corruption, then over corruptions; rPC: mPC / clean AP "
    "(Michaelis et al. 2019)."
)
_MASK = "mask_ap"
_ENCODER = Column(
    "encoder",
    "Encoder size (M)",
    "Parameters of the backbone, in millions",
    unit="plain",
    better="neither",
    csv="encoder_parameters_millions",
)


def layout_of_table_5(
    runs: Sequence[Run], found: Sequence[Found], *, protocol: Protocol, paper: bool
) -> Table | None:
    """Size of the encoder, clean AP, mPC and rPC of boxes and masks; ``None`` without a sweep."""
    if not any(run.swept for run in runs):
        return None
    scores = (*_scores("box_ap", "Box"), *(_scores(_MASK, "Mask") if _has_masks(found) else ()))
    published = table_5_rows(tuple(column.key for column in scores)) if paper else ()
    return Table(
        f"Detection (layout of Table 5): AP (%), protocol {protocol.name}",
        "Model",
        (_ENCODER, *scores),
        _rows(runs, found, scores, paper=paper) + published,
        notes=(MPC_NOTE, MARKS_NOTE, *_maskless(runs, found), *((TABLE_5_NOTE,) if paper else ())),
    )


def mask_table(
    runs: Sequence[Run],
    found: Sequence[Found],
    *,
    protocol: Protocol,
    metric: TaskMetric,
    paper: bool,
) -> Table | None:
    """Mask AP by corruption, in the layout of Table 13; ``None`` where no model has masks."""
    if not _has_masks(found):
        return None
    (masks,) = (one for one in metric.cells if one.key == _MASK)
    columns = (
        *(column for column in _scores(_MASK, "")),
        *(
            Column(
                _key(_MASK, one.key), one.title, one.meaning, one.group, csv=_csv(_MASK, one.key)
            )
            for one in corruption_columns(protocol)
        ),
    )
    return Table(
        f"{masks.name} (%), protocol {protocol.name}",
        "Model",
        columns,
        _rows(runs, found, columns, paper=paper),
        notes=(MARKS_NOTE, *_maskless(runs, found), *((NOT_CORRUPTED,) if paper else ())),
    )


def _scores(metric: str, group: str) -> tuple[Column, ...]:
    told = {
        "clean": ("mAP" if group else "Clean", "AP on clean images, mean over IoU and classes"),
        "average": ("mPC", AVERAGE_MEANING),
        "retention": ("rPC", "mPC divided by clean"),
    }
    return tuple(
        Column(_key(metric, key), title, meaning, group, csv=_csv(metric, key))
        for key, (title, meaning) in told.items()
    )


def _key(metric: str, place: str) -> str:
    """Of an aggregate: the main number's have no prefix."""
    return f"{_MASK}:{place}" if metric == _MASK else place


def _csv(metric: str, place: str) -> str:
    return f"{place}_{metric}_fraction"


def _has_masks(found: Sequence[Found]) -> bool:
    return any(not one[f"{_MASK}:clean"].is_absent for one in found)


def _maskless(runs: Sequence[Run], found: Sequence[Found]) -> tuple[str, ...]:
    """Which of the models has no masks, beside one that has."""
    names = [
        run.label for run, one in zip(runs, found, strict=True) if one[f"{_MASK}:clean"].is_absent
    ]
    return (f"Without masks: {', '.join(names)}.",) if names and len(names) < len(runs) else ()


def _rows(
    runs: Sequence[Run], found: Sequence[Found], columns: Sequence[Column], *, paper: bool
) -> tuple[Row, ...]:
    def values(run: Run, one: Found) -> dict[str, Value]:
        size = run.provenance.encoder_parameters / 1e6 or None
        return {"encoder": size, **{column.key: one[column.key].value for column in columns}}

    return tuple(
        Row(run.label, values(run, one), mark=mode_mark(run) if paper else "")
        for run, one in zip(runs, found, strict=True)
    )
