"""An exported file in 8-bit integers or in float16, and how far it is from the float one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from stl_backbones.datasets.class_folders import read_rgb
from stl_backbones.display import shown_one_by_one
from stl_backbones.errors import InputError
from stl_backbones.image_files import is_image
from stl_backbones.paths import check_folder
from stl_backbones.results.atomic import write_atomically
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predicted.onnx_files import onnx_model
from stl_backbones.robustness.predictor import Model, as_array

CALIBRATION_IMAGES = 100
# Where the weights are. What lies between stays float: of normalisations, softmax and products of
# activations, 8 bits cost much and save little.
_QUANTISED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class SmallerReport:
    """What was written beside the float file.

    Attributes:
        file: Where.
        kind: ``'int8'`` or ``'fp16'``.
        bytes: Size of the file.
        share: Of the float file's size.
        images: Compared with the float file on so many images.
        difference: The largest difference of an output, as a share of its largest value; ``None``
            for labels.
        same: Share of images, or of pixels, of the same class.
    """

    file: Path
    kind: str
    bytes: int
    share: float
    images: int
    difference: float | None
    same: float

    def __str__(self) -> str:
        """A printed report."""
        apart = "" if self.difference is None else f"largest difference {self.difference:.1e}, "
        return (
            f"{self.kind}: {self.bytes / 2**20:.1f} MiB, {self.share:.2f} of the float file\n"
            f"  against it on {self.images} images: {apart}same class {100 * self.same:.2f} %\n"
            f"wrote {self.file}"
        )


@dataclass(frozen=True)
class Smaller:
    """What to write beside a float file.

    Attributes:
        int8: ``NAME_int8.onnx``.
        fp16: ``NAME_fp16.onnx``.
        images: What is calibrated and compared with; of none, noise is compared with.
    """

    int8: bool
    fp16: bool
    images: tuple[Path, ...]

    @classmethod
    def of(
        cls,
        *,
        int8: bool,
        fp16: bool,
        calibration: str | Path | None,
        images: int | None,
        backbone: bool,
    ) -> Smaller:
        """Check what is asked for, before anything is exported.

        Raises:
            InputError: If it does not go together.
            MissingFileError: If the folder of images is missing.
        """
        if (int8 or fp16) and backbone:
            raise InputError(
                "maps of a backbone are written as float32 alone; leave --backbone out"
            )
        if int8 and calibration is None:
            raise InputError("--quantise int8 needs --calibration DIR, images like those to come")
        if calibration is None and images is not None:
            raise InputError("--calibration-images needs --calibration DIR")
        if not (int8 or fp16) and calibration is not None:
            raise InputError("--calibration is for --quantise int8")
        found = (
            () if calibration is None else find_images(calibration, images or CALIBRATION_IMAGES)
        )
        return cls(int8, fp16, tuple(found))

    def write(self, file: str | Path) -> Iterator[SmallerReport]:
        """Write the files beside an exported one."""
        if self.int8:
            yield quantise(Path(file), self.images)
        if self.fp16:
            yield halve(Path(file), self.images)


def find_images(folder: str | Path, count: int) -> list[Path]:
    """So many images of a folder and those in it, spread over their sorted names.

    Raises:
        MissingFileError: If the folder is missing.
        InputError: If it holds no images.
    """
    root = check_folder(folder, "--calibration")
    found = sorted(path for path in root.rglob("*") if path.is_file() and is_image(path.name))
    if not found:
        raise InputError(f"--calibration '{root}' holds no images")
    places = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return [found[place] for place in places]


def quantise(file: Path, images: Sequence[Path]) -> SmallerReport:
    """Write ``NAME_int8.onnx`` beside a file: static quantisation as QDQ.

    Weights are signed, with a scale for each output channel; activations unsigned, with the range
    that they have on the images, in the file's own preparation.

    Args:
        file: Exported, with what it says of itself.
        images: What is calibrated with.

    Raises:
        InputError: If a picture cannot be read.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = _opened(file)
    target = file.with_name(f"{file.stem}_int8.onnx")
    with TemporaryDirectory() as folder, _quiet():
        out = Path(folder) / target.name
        quantize_static(
            str(file), str(out), _Reader(model, images), quant_format=QuantFormat.QDQ,
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_QUANTISED),
        )  # fmt: skip
        write_atomically(target, out.read_bytes())
    return _compared(model, file, target, "int8", images)


def halve(file: Path, images: Sequence[Path]) -> SmallerReport:
    """Write ``NAME_fp16.onnx`` beside a file: float16 within, inputs and outputs as they are."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    target = file.with_name(f"{file.stem}_fp16.onnx")
    smaller = convert_float_to_float16(onnx.load(str(file)), keep_io_types=True)
    write_atomically(target, smaller.SerializeToString())
    return _compared(_opened(file), file, target, "fp16", images)


def _opened(file: Path) -> Model:
    """The file as a sweep opens it."""
    import onnx

    about = {e.key: e.value for e in onnx.load(str(file), load_external_data=False).metadata_props}
    return onnx_model(str(file), Given(task=about["task"]), SweepOptions())


def _prepared(model: Model, images: Sequence[Path], title: str) -> Iterator[Any]:
    """What the file takes of each image, with progress; of none, noise."""
    for path in shown_one_by_one(images, title, "images"):
        image = read_rgb(path)
        yield model.prepared(np.array(image) if model.view is None else model.view(image))
    if not images:
        runner: Any = model.infer
        noise = np.random.default_rng(0).integers(0, 256, (*runner.input.size, 3), np.uint8)
        yield model.prepared(noise)


class _Reader:
    """onnxruntime's ``CalibrationDataReader``: batches of the file's own size."""

    def __init__(self, model: Model, images: Sequence[Path]) -> None:
        runner: Any = model.infer
        self._batches = (runner.fed([one]) for one in _prepared(model, images, "calibration"))

    def get_next(self) -> Any:
        """A batch by the input's name, or ``None``."""
        return next(self._batches, None)


def _compared(
    model: Model, file: Path, target: Path, kind: str, images: Sequence[Path]
) -> SmallerReport:
    other, differences, same, count = _opened(target), [], [], 0
    for one in _prepared(model, images, f"comparison of {kind}"):
        expected, found = (as_array(each.results([one])[0]) for each in (model, other))
        if not np.isfinite(found.astype(np.float64)).all():
            raise InputError(f"'{target}' gives numbers that are not finite; delete it")
        if expected.dtype.kind == "f":
            differences.append(np.abs(found - expected).max() / np.abs(expected).max())
            expected, found = expected.argmax(axis=0), found.argmax(axis=0)
        same.append(np.mean(expected == found))
        count += 1
    size = target.stat().st_size
    return SmallerReport(
        file=target, kind=kind, bytes=size, share=size / file.stat().st_size, images=count,
        difference=float(max(differences)) if differences else None, same=float(np.mean(same)),
    )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice on how to prepare a file off the terminal: it is prepared."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


__all__ = ["CALIBRATION_IMAGES", "SmallerReport", "find_images", "halve", "quantise"]
