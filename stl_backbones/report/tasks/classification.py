"""Classification: top-1 and its kin, and the layouts of the paper's Tables 2, 3 and 12."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.errors import InputError
from stl_backbones.metrics import (
    ClassAccuracy,
    calibration_error,
    calibration_terms,
    hits,
    mean_of_terms,
)
from stl_backbones.records import CellResult, Provenance
from stl_backbones.report.numbers.aggregates import NO_RATIO, Findings
from stl_backbones.report.numbers.format import MISSING_SHOWN
from stl_backbones.report.numbers.keys import CLEAN_KEY, Key, average_key, retention_key
from stl_backbones.report.paper.classification import (
    table_2_notes,
    table_2_rows,
    table_3_notes,
    table_3_rows,
)
from stl_backbones.report.paper.data_sets import why_not_imagenet
from stl_backbones.report.read.metrics import (
    ClassRecord,
    ClassScorer,
    SumMetric,
    share_of_sums,
)
from stl_backbones.report.read.provenance import data_name
from stl_backbones.report.read.real_labels import REAL
from stl_backbones.report.read.sets import SHAPE_BIAS
from stl_backbones.report.read.text import listed
from stl_backbones.report.sections import Column, Row, Table
from stl_backbones.report.tables import model_table, score_column, size_column
from stl_backbones.report.tasks.base import Task, register_task
from stl_backbones.shift_sets import SHIFT_SETS, cues_of, sets_of

COUNTS_NOTE = (
    "Params and MACs are counted on the model, for one image of the inference size. A MAC is one "
    "multiplication with its addition; what the paper calls FLOPs, and timm GMACs, are MACs."
)
NOT_IMAGENET_NOTE = (
    "Not ImageNet-1K: protocol {protocol} names the corruptions and their severities alone, and "
    "there is no mCE ({why})."
)
_PARAMS = size_column("params", "Params (M)", "Parameters, in millions")
_MACS = size_column(
    "macs", "MACs (G)", "Multiply-accumulates per image, in billions; the paper calls them FLOPs"
)
# The protocols of Table 12: its 16 columns, and with spatter, which its averages seem to have.
_MEANS = {"stl-imagenet-c": "Mean 16", "stl-imagenet-c-17": "Mean 17"}

# Sample of a classified image -> the kind of numbers that it holds.
_KINDS = {
    "label": np.integer,
    "prediction": np.integer,
    "in_top5": np.bool_,
    "confidence": np.floating,
    "nll": np.floating,
}


def _sample(result: CellResult, name: str) -> npt.NDArray[np.generic]:
    """One record per image of a classification cell, ``(N,)``."""
    kind, expected = _KINDS[name], (len(result.image_ids),)
    values = result.samples.get(name)
    found = None if values is None else f"{values.dtype} of shape {values.shape}"
    if values is None or values.shape != expected or not np.issubdtype(values.dtype, kind):
        raise InputError(
            f"expected a sample '{name}' of {kind.__name__} and shape (images,) = {expected}, "
            f"got {found}"
        )
    if kind is np.floating and not np.isfinite(values.astype(np.float64)).all():
        raise InputError(f"sample '{name}' must be finite; its network's outputs are not")
    return values


def _class_indices(result: CellResult, name: str) -> npt.NDArray[np.int64]:
    values, classes = _sample(result, name), len(result.provenance.classes)
    if values.size and not 0 <= values.min() <= values.max() < classes:
        raise InputError(
            f"sample '{name}' must hold classes 0..{classes - 1}, got "
            f"{values.min()}..{values.max()}"
        )
    return values.astype(np.int64)


def _top1_terms(result: CellResult) -> npt.NDArray[np.floating]:
    return hits(_class_indices(result, "label"), _class_indices(result, "prediction"))


def _top5_terms(result: CellResult) -> npt.NDArray[np.floating]:
    among_five = _sample(result, "in_top5").astype(np.float32)[:, None]
    if (among_five < _top1_terms(result)).any():
        raise InputError("sample 'in_top5' must hold what is best, got a right answer without it")
    return among_five


def _nll_terms(result: CellResult) -> npt.NDArray[np.floating]:
    nll = _sample(result, "nll")
    if nll.size and not 0 <= nll.min() <= nll.max() <= np.finfo(np.float32).max:
        raise InputError(
            f"sample 'nll' must hold float32 numbers of 0 or more, got {nll.min()}..{nll.max()}"
        )
    return nll.astype(np.float32)[:, None]


def _calibration_terms(result: CellResult) -> npt.NDArray[np.floating]:
    confidence = _sample(result, "confidence").astype(np.float64)
    return calibration_terms(confidence, _top1_terms(result)[:, 0] == 1)


_CELLS = (
    SumMetric(
        "top1", "Top-1", "share of images whose best class is right",
        terms=_top1_terms, score_sums=mean_of_terms, has_retention=True,
    ),
    SumMetric(
        "top5", "Top-5", "share of images whose class is among the best five",
        terms=_top5_terms, score_sums=mean_of_terms,
    ),
    SumMetric(
        "ece", "ECE", "expected calibration error, 15 bins of equal width over the data set",
        terms=_calibration_terms, score_sums=calibration_error, lower_is_better=True, centred=True,
    ),
    SumMetric(
        "nll", "NLL", "mean negative log-likelihood of the label, in nats",
        terms=_nll_terms, score_sums=mean_of_terms, unit="nats", lower_is_better=True,
    ),
)  # fmt: skip


def _shape_terms(result: CellResult) -> npt.NDArray[np.floating]:
    """Of each image: whether the shape's category was named, and whether shape or texture's was."""
    classes = list(result.provenance.classes)
    cues = np.array([[classes.index(name) for name in cues_of(one)] for one in result.image_ids])
    named = cues.reshape(-1, 2) == _class_indices(result, "prediction")[:, None]
    named[cues[:, 0] == cues[:, 1]] = False  # no conflict: these images are left out
    return np.stack([named[:, 0], named.any(axis=1)], axis=1).astype(np.float32)


# Geirhos et al. 2019, arXiv:1811.12231: right by shape / right by shape or by texture.
_SHAPE_BIAS = SumMetric(
    SHAPE_BIAS, "Shape bias", "answers by shape / answers by shape or texture, where cues conflict",
    terms=_shape_terms, score_sums=share_of_sums,
)  # fmt: skip


class _Classification(Task):
    def sums(self, result: CellResult) -> tuple[SumMetric, ...]:
        """Of cue-conflict images the shape bias too."""
        is_conflict = result.provenance.dataset == SHIFT_SETS["cue-conflict"].title
        return (*super().sums(result), *((_SHAPE_BIAS,) if is_conflict else ()))

    def image_scores(
        self, result: CellResult, class_index: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Half for the right class, half its probability; see `TaskMetrics.image_scores`."""
        hit = _top1_terms(result)[:, 0].astype(np.float64)
        nll = _nll_terms(result)[:, 0].astype(np.float64)
        scores: npt.NDArray[np.float64] = (hit + np.exp(-nll)) / 2
        if class_index is None:
            return scores
        return np.where(_class_indices(result, "label") == class_index, scores, np.nan)

    def tables(self, findings: Findings) -> Iterator[Table]:
        if findings.swept:
            yield self._layout_of_table_2(findings)
        keys = ("imagenet-a", "imagenet-r", "mce")
        if any(one[key].value is not None for one in findings.aggregates for key in keys):
            yield self._layout_of_table_3(findings)
        yield from super().tables(findings)

    def class_scorer(self, drawn: npt.NDArray[np.float32]) -> ClassScorer:
        """Accuracy of each class; what depends on the labels alone is made once."""
        known: list[ClassAccuracy] = []

        def score(result: CellResult) -> ClassRecord:
            label, prediction = (_class_indices(result, name) for name in ("label", "prediction"))
            classes = len(result.provenance.classes)
            own = [one for one in known if np.array_equal(one.label, label)]
            if not own:  # of another cell are refused later, by name
                own = [ClassAccuracy(label, classes=classes, drawn=drawn)]
                known.extend(own)
            images = np.bincount(label, minlength=classes)
            return ClassRecord(
                {"accuracy": own[0](prediction)},
                truth=images,
                images=images,
                confusion=sparse.coo_array(
                    (np.ones(len(label), np.int32), (label, prediction)), shape=(classes, classes)
                ).tocsr(),
            )

        return score

    def published(self, protocol: str) -> tuple[Sequence[Row], Sequence[str]]:
        if protocol in self.paper_protocols:
            return super().published(protocol)
        names = ", ".join(f"'{name}'" for name in self.paper_protocols)
        return (), [f"The paper's rows by corruption are those of protocols {names}."]

    def why_apart(self, record: Provenance) -> str:
        """Why numbers so measured may not stand beside the paper's: a phrase, or nothing."""
        return why_not_imagenet(record)

    def _layout_of_table_2(self, findings: Findings) -> Table:
        """Parameters, MACs, clean and robust accuracy, retention."""
        protocol = findings.protocol.name
        record = next(run.provenance for run in findings.runs if run.swept)
        clean, corrupted, title = "IN-1K", "IN-C", f"IN-C is protocol {protocol}"
        notes: tuple[str, ...] = ()
        if not record.imagenet_val:
            clean, corrupted, title = data_name(record), "Corrupted", f"protocol {protocol}"
            notes = (NOT_IMAGENET_NOTE.format(protocol=protocol, why=NO_RATIO),)
        share = retention_key(findings.protocol)
        columns = (
            _PARAMS,
            _MACS,
            score_column(self, self.main, CLEAN_KEY, clean, "Top-1 on clean images"),
            score_column(self, self.main, average_key(findings.protocol), corrupted,
                         f"Top-1, average of protocol {protocol}"),
            Column(share.text, "Retention", f"{corrupted} divided by {clean}",
                   csv=f"{share.place}_fraction"),
            *self._real_columns(findings.protocol),
        )  # fmt: skip
        title = f"Classification (layout of Table 2): top-1 (%), {title}"
        rows, paper = (table_2_rows(), table_2_notes()) if findings.paper else ((), ())
        return model_table(findings, title, columns, rows, file="classification",
                           notes=(COUNTS_NOTE, *notes, *paper))  # fmt: skip

    def _real_columns(self, protocol: Protocol) -> Iterator[Column]:
        """ReaL's numbers, where they were asked for."""
        for metric in self.cells:
            if metric.key == REAL:
                yield score_column(self, metric, CLEAN_KEY, "ReaL", "ReaL on clean images")
                if protocol.corruptions:
                    yield score_column(self, metric, average_key(protocol), "ReaL corrupted",
                                       f"ReaL, average of protocol {protocol.name}")  # fmt: skip

    def _layout_of_table_3(self, findings: Findings) -> Table:
        """Parameters, clean, ImageNet-A, ImageNet-R, mCE."""
        columns = (
            _PARAMS,
            score_column(self, self.main, CLEAN_KEY, "Clean", "Top-1 on clean images"),
            score_column(self, self.main, Key("set", "imagenet-a"), "IN-A",
                         "Top-1 on ImageNet-A, among its 200 classes"),
            score_column(self, self.main, Key("set", "imagenet-r"), "IN-R",
                         "Top-1 on ImageNet-R, among its 200 classes"),
            Column("mce", "mCE", "Mean corruption error on the 15 of imagenet-c; lower is better",
                   better="lower", csv="mce_fraction"),
        )  # fmt: skip
        title = "Other images (layout of Table 3): top-1 and mCE (%), mCE lower is better"
        rows, notes = (table_3_rows(), table_3_notes()) if findings.paper else ((), ())
        return model_table(findings, title, columns, rows, file="other_images",
                           notes=(_mce_note(findings), *notes))  # fmt: skip

    def main_columns(self, protocol: Protocol) -> tuple[Column, ...]:
        """Those of Table 13, parameters and, in Table 12's protocols, the means of 16 and 17.

        Beside published rows both means are needed: their average is as printed, and is not the
        mean of the 16 columns.
        """
        means = _MEANS if protocol.name in _MEANS else {}
        first, average, *others = super().main_columns(protocol)
        return (
            _PARAMS,
            first,
            average,
            *(
                score_column(self, self.main, Key("mean", name), title,
                             f"Mean of protocol {name}; of a paper row, of its columns")
                for name, title in means.items()
            ),
            *others,
        )  # fmt: skip


def _mce_note(findings: Findings) -> str:
    errors = [one["mce"] for one in findings.aggregates]
    missing = next((one.missing for one in errors if one.value is None), ())
    more = f" Not measured for it: {listed(missing, limit=MISSING_SHOWN)}." if missing else ""
    return (
        "mCE: mean over the 15 corruptions of Hendrycks & Dietterich of the error relative to "
        f"AlexNet's.{more}"
    )


CLASSIFICATION = register_task(
    _Classification(
        name="classification",
        cells=_CELLS,
        truth=("label",),
        class_scores={"accuracy": "Accuracy"},
        class_means={"accuracy": "top1"},
        confidence=lambda result: np.exp(-_nll_terms(result)[:, 0].astype(np.float64)),
        companions=("imagenet-c", "stl-imagenet-c", "stl-imagenet-c-17", "all"),
        sets=sets_of("classification"),
        has_corruption_error=True,
        image_samples=("label", "prediction"),
        paper_protocols=("stl-imagenet-c", "stl-imagenet-c-17"),
        card_extras=("mce", "imagenet-a", "imagenet-r"),
    )
)
