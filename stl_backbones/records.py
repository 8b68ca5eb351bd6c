"""Plain records that cross the stages of an evaluation; nothing here knows a framework."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stl_backbones.errors import InputError

CLEAN_NAME = "clean"
MODES = ("exact", "fast", "reference", "torch")
COMPATS = ("imaug-1.1.5", "imagecorruptions-1.1.2")
CHANNEL_ORDERS = ("rgb", "bgr")
STRENGTHS = ("imagenet", "cifar10")

_LISTS = ("skipped", "classes", "notes", "chosen")  # of a provenance: JSON has no tuples
# Older records lack them.
_LATER = frozenset(
    {"custom_versions", "parameters", "encoder_parameters", "macs", "notes", "imagenet_val",
     "copy_digests", "chosen", "sampling", "image_list"}
)  # fmt: skip
_OF_SOME_CELLS = ("custom_versions", "copy_digests")  # compared where both have an entry
_NO_DIFFERENCE = frozenset(
    {
        "protocol",
        "dataset",
        "parameters",
        "encoder_parameters",
        "macs",
        "imagenet_val",
        "chosen",
        "sampling",
        "image_list",
    }
)


@dataclass(frozen=True, order=True)
class Cell:
    """One entry of a robustness table: a corruption at a severity, or the clean images.

    Attributes:
        corruption: A corruption's name, or ``'clean'``.
        severity: 1 (weakest) to 5, fractions too, or 0 for clean images.
    """

    corruption: str
    severity: float

    @property
    def name(self) -> str:
        """``'clean'`` or for example ``'fog-3'``; also the stem of the cell's file."""
        return CLEAN_NAME if self.is_clean else f"{self.corruption}-{self.severity:g}"

    @classmethod
    def from_name(cls, name: str) -> Cell:
        """Inverse of `name`.

        Raises:
            ValueError: If it is no cell's name.
        """
        if name == CLEAN_NAME:
            return CLEAN
        corruption, _, severity = name.rpartition("-")
        try:
            level = float(severity)
        except ValueError:
            level = math.nan
        if not corruption or not 1 <= level <= 5:
            raise InputError(f"'{name}' is no cell's name; expected one such as 'fog-3'")
        return cls(corruption, int(level) if level.is_integer() else level)

    @property
    def is_clean(self) -> bool:
        """Whether the images are scored as they are."""
        return self.corruption == CLEAN_NAME


CLEAN = Cell(CLEAN_NAME, 0)


@dataclass(frozen=True)
class CorruptionEngine:
    """How images are corrupted, whatever the corruption and its severity.

    Attributes:
        mode: ``'exact'``, the package's result bit for bit; ``'fast'``, float32 and own random
            streams: within a grey level where nothing is drawn, else equal in distribution;
            ``'reference'``, the installed imagecorruptions package itself; ``'torch'``, like
            ``'fast'`` on the accelerator if there is one (glass_blur, which has no parallel form,
            as in ``'fast'``).
        compat: The package that ``'exact'`` equals: ``'imaug-1.1.5'`` or
            ``'imagecorruptions-1.1.2'``, which differ in frost and in fog's last digits.
        channel_order: ``'rgb'`` (what the package expects), or ``'bgr'`` to show the corruption
            the channels reversed as some published scripts do; image and result are RGB either way.
        seed: The user's seed; another one gives another draw of the whole benchmark.
        strengths: ``'imagenet'``, the constants of ImageNet-C, or ``'cifar10'``, those of
            CIFAR-10-C for images of 32x32 pixels.
        depth: Folder of distances, for corruptions that need them; empty for none.

    Raises:
        ValueError: If mode, compat, channel order or strengths are unknown.
    """

    mode: str = "fast"
    compat: str = COMPATS[0]
    channel_order: str = "rgb"
    seed: int = 0
    strengths: str = STRENGTHS[0]
    depth: str = ""

    def __post_init__(self) -> None:
        for what, value, known in (
            ("corruption mode", self.mode, MODES),
            ("compat", self.compat, COMPATS),
            ("channel order", self.channel_order, CHANNEL_ORDERS),
            ("strengths", self.strengths, STRENGTHS),
        ):
            if value not in known:
                raise InputError(f"{what} must be one of {', '.join(known)}, got '{value}'")


@dataclass(frozen=True)
class CorruptionSpec:
    """What is done to an image: everything but the image and its key.

    Attributes:
        name: A corruption of the catalog, for example ``'fog'``, or a registered one.
        severity: 1 (weakest) to 5, fractions too.
        engine: How.
    """

    name: str
    severity: float
    engine: CorruptionEngine = CorruptionEngine()


@dataclass(frozen=True)
class Provenance:
    """What a number was measured with; two cells belong to one table only if these agree.

    Attributes:
        task: ``'segmentation'``, ``'classification'`` or ``'detection'``; decides which metric
            reads the samples.
        model: Name shown in tables.
        protocol: Name of the protocol that the sweep was asked for.
        dataset: Name of the data set.
        dataset_fingerprint: blake2b over ids and bytes of all images and labels that were scored.
        num_images: Images scored in every cell.
        num_images_total: Images the data set holds, before a limit or skipped broken files.
        skipped: Ids of broken images left out on request.
        classes: Class names, in the order of the confusion matrix, of the logits that were
            compared, or of the detections' class indices.
        config_sha256: Hash of the resolved model and test settings.
        checkpoint_sha256: Hash of the weights and buffers that predicted, not of a file.
        inference: For example ``'whole'``, ``'slide crop=1024x1024 stride=768x768'`` or
            ``'center crop 224 of 256 bicubic, scoring cls'``.
        corruption_source: ``'on-the-fly'``; the same with `` (jpeg quality=85)``;
            ``'folder:<name>'`` of a copy without a manifest; the same with `` (<format>)``
            of its images where there is one; ``'none'`` of natural images (ImageNet-A, -R).
        corruption_mode: Engine mode; ``'files'`` where images came from a folder that does not say.
        corruption_package: Implementation and version, for example
            ``'imagecorruptions-imaug 1.1.5'``.
        channel_order: Order that the corruption saw.
        seed: The user's seed.
        device: ``'cpu'`` or the accelerator's name.
        versions: Package name -> version.
        custom_versions: Corruption that a user registered -> its version.
        parameters: Of the model; 0 if not counted.
        encoder_parameters: Of its backbone, without neck and heads; 0 if not counted.
        macs: Multiply-accumulates of the model on one image; 0 if not counted.
        notes: Sentences that every table with these numbers must print.
        imagenet_val: Whether the clean images are ImageNet-1K's validation images, or some of
            them, by file names or counts; ``None`` in records that do not say.
        copy_digests: Cell of the corrupted copy that is read -> digest of its files.
        chosen: The cells that were asked for, where they are not all of the protocol's.
        sampling: Of a sweep that may stop before its last image: order, gates, alpha, and once it
            has stopped the verdict and ``'scored'``, the images that its corrupted cells hold;
            empty for an ordinary sweep.
        image_list: Name and hash of the file that names the images; empty for all of them.
    """

    task: str
    model: str
    protocol: str
    dataset: str
    dataset_fingerprint: str
    num_images: int
    num_images_total: int
    skipped: tuple[str, ...]
    classes: tuple[str, ...]
    config_sha256: str
    checkpoint_sha256: str
    inference: str
    corruption_source: str
    corruption_mode: str
    corruption_package: str
    channel_order: str
    seed: int
    device: str
    versions: Mapping[str, str]
    custom_versions: Mapping[str, str] = field(default_factory=dict)
    parameters: int = 0
    encoder_parameters: int = 0
    macs: int = 0
    notes: tuple[str, ...] = ()
    imagenet_val: bool | None = None
    copy_digests: Mapping[str, str] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    image_list: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready types."""
        plain = dataclasses.asdict(self)
        for name in ("sampling", "image_list"):
            if not plain[name]:
                del plain[name]  # an ordinary sweep's bytes are those of versions without it
        return {**plain, **{name: list(plain[name]) for name in _LISTS}}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Provenance:
        """Inverse of `to_dict`.

        Raises:
            ValueError: If a field is missing or unknown.
        """
        known = {entry.name for entry in dataclasses.fields(cls)}
        missing = sorted(known - set(plain) - _LATER)
        unknown = sorted(set(plain) - known)
        if missing or unknown:
            raise InputError(
                f"provenance fields do not fit: missing {missing}, unknown {unknown}; "
                "was it written by another version of stl_backbones?"
            )
        for entry in dataclasses.fields(cls):
            if entry.name in plain and not _fits(plain[entry.name], str(entry.type)):
                raise InputError(
                    f"provenance field {entry.name} must be of type {entry.type}, "
                    f"got {plain[entry.name]!r:.80}"
                )
        tuples = {name: tuple(plain[name]) for name in _LISTS if name in plain}
        return cls(**{**plain, **tuples})

    def differences(self, other: Provenance) -> dict[str, tuple[Any, Any]]:
        """Fields that keep two cells out of one table: name -> (this one's, the other's).

        The protocol is not among them: a cell means the same under each protocol that holds it.
        Nor is a corruption, or a copy's cell, that only one of them has: another choice of cells,
        measured alike. Nor are the data set's name, which is its folder's, counts of the model, and
        what kind of images these are: hashes say more.
        """
        found = {}
        for name in _COMPARED:
            mine, theirs = getattr(self, name), getattr(other, name)
            if name in _OF_SOME_CELLS:
                shared = sorted(mine.keys() & theirs.keys())
                mine, theirs = ({key: one[key] for key in shared} for one in (mine, theirs))
            if mine != theirs:
                found[name] = (mine, theirs) if name not in _LISTS else (list(mine), list(theirs))
        return found


# Type of a provenance's field -> what its values are in JSON, and the values in those.
_IN_JSON: Mapping[str, tuple[tuple[type, ...], type]] = {
    "str": ((str,), str),
    "int": ((int,), object),
    "bool | None": ((bool, type(None)), object),
    "tuple[str, ...]": ((list, tuple), str),
    "Mapping[str, str]": ((dict,), str),
    "Mapping[str, Any]": ((dict,), object),
}


def _fits(value: Any, kind: str) -> bool:
    """Whether a value read from JSON is of a field's type."""
    outer, inner = _IN_JSON[kind]
    values = value.values() if isinstance(value, dict) else value
    return isinstance(value, outer) and (
        inner is object or all(isinstance(one, inner) for one in values)
    )


_COMPARED = tuple(
    one.name for one in dataclasses.fields(Provenance) if one.name not in _NO_DIFFERENCE
)


@dataclass(frozen=True)
class CellResult:
    """One finished cell: unrounded per-image records, from which every aggregate is computed.

    Attributes:
        cell: What was scored.
        provenance: What it was scored with.
        image_ids: The images, in order.
        samples: Record name -> array. Segmentation keeps ``'confusion_matrix'``,
            ``(images, classes, classes)`` integers, rows = ground truth, and, where the model gives
            scores of classes, ``'pixel_calibration'``, see
            `stl_backbones.evaluation.pixel_calibration`; classification one entry per image and
            name. Detection keeps, of N images with D detections and G objects,
            ``'image_number'`` ``(N,)`` ids; for boxes ``'bbox_detections'`` ``(N,)`` how many,
            ``'bbox_score'`` and ``'bbox_category'`` ``(D,)``, ``'bbox_matched'`` and
            ``'bbox_ignored'`` ``(D, 4)`` bits; for masks, where the model has them, the same as
            ``'segm_...'``; ``'objects'`` ``(N,)`` how many, ``'object_category'`` ``(G,)`` and
            ``'object_counted'`` ``(G, 4)``: see `stl_backbones.evaluation.detection`. The clean
            cell of any task has ``'brightness'`` and ``'contrast'`` ``(images,)`` of its images.
    """

    cell: Cell
    provenance: Provenance
    image_ids: tuple[str, ...]
    samples: Mapping[str, npt.NDArray[np.generic]]
