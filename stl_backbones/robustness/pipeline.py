"""A data set's own pipeline, with the image replaced by a version of it right after it is loaded.

Where that is, is found by what happens and not by what steps are called: every step is watched,
those inside of wrappers (`TestTimeAug`, `RandomChoice`, `KeyMapper`, ...) too, and the one after
which ``results['img']`` is there has loaded the image. For every version the data set is asked for
its item again, but that step's result is a copy of the first one with the version in it. So the
item goes through the data set's own ``prepare_data`` and the pipeline's other steps as always.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import mmengine.dataset
import numpy as np
import numpy.typing as npt
from mmcv.transforms import BaseTransform
from mmcv.transforms.wrappers import Compose as McvCompose
from mmengine.registry import TRANSFORMS

from stl_backbones.datasets.loading import naming_the_image
from stl_backbones.errors import InputError
from stl_backbones.robustness.blind_steps import BlindSteps
from stl_backbones.robustness.loaded_image import (
    LoadedImage,
    Order,
    Pixels,
    Results,
    State,
    describe_array,
    read_as,
)

Corrupt = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]  # RGB -> RGB
_COMPOSE = (mmengine.dataset.Compose, McvCompose)
_LABELS = {"type": "LoadAnnotations"}  # mmseg's own
_APART = 0.01  # of the mean level: more than decoders of JPEG differ by


class ImageLoadedSignal(BaseException):
    """Ends the pipeline once the image is loaded; no step may catch it."""


class Exchange:
    """The image at hand, and the version of it that the watched steps hand on.

    Call `begin`, then ask the data set for its item.
    """

    def __init__(self) -> None:
        self.path = ""
        self.corrupt: Corrupt | None = None  # None: the clean image, or a file of its own
        self.file: Path | None = None  # a corrupted copy's
        self.loads = 0
        self.only_load = False
        self.decoy: Path | None = None
        self.loaded = LoadedImage()
        self.blind = BlindSteps()
        self._file_pixels: Pixels | None = None
        self._made: Pixels | None = None
        self._orders: dict[int, Order | None] = {}
        self._read_pixels_of: set[int] = set()

    def begin(
        self,
        path: str,
        loaded: LoadedImage,
        *,
        corrupt: Corrupt | None = None,
        file: Path | None = None,
        only_load: bool = False,
    ) -> None:
        """Say which image comes, and which version is wanted.

        Args:
            path: The clean image, as the data set's items name it.
            loaded: What the steps made of it before; filled.
            corrupt: Makes the version; ``None``: the clean image.
            file: The version's own file, instead.
            only_load: End with `ImageLoadedSignal` once the image is loaded.
        """
        if path != self.path:
            self._file_pixels = None
        self.path, self.loaded, self.corrupt, self.file = path, loaded, corrupt, file
        self.only_load, self.loads, self._made = only_load, 0, None

    def is_at_hand(self, results: Results) -> bool:
        """Whether a step that loads an image now loads the one that is replaced."""
        return str(results.get("img_path")) == self.path

    def run(self, step: _Watched, results: Results) -> Results | None:
        """Load the image, or take what was loaded, and put the version in its place."""
        state = self.loaded.states.get(step.number)
        before = copy.deepcopy(results)
        if state is None:
            loads = self.loads
            with naming_the_image(lambda: self.path):
                out = step.inner(results)
            if not _has_image(out) or self.loads > loads:  # a step inside has loaded it
                return out
            state = self.loaded.states[step.number] = State(out)
        self.loads += 1
        if self.only_load:
            raise ImageLoadedSignal
        if self.file is not None:
            out = self._read(step, before, self.file)
            if np.shape(out["img"]) != np.shape(state.image):
                raise InputError(
                    f"'{self.file}' is loaded as {describe_array(out['img'])}, its clean image as "
                    f"{describe_array(state.image)}: images read otherwise (EXIF orientation)?"
                )
            return out
        if self.corrupt is None:
            return state.with_image(state.image.copy())
        return self._corrupted(step, before, state, self.corrupt)

    def run_blind(self, key: Any, step: Callable[[Results], Any], results: Results) -> Any:
        """Run a step after the loader, once for all versions if it never looks at the image."""
        return self.blind.run(key, step, results, self.loaded.blind)

    def try_decoy(self, step: _Watched, results: Results) -> None:
        """Refuse a step that opens the image's file by itself, where no version can be put.

        Such a step gives another image for another file at the image's path.
        """
        first, again, other = (
            _image_of(step, copy.deepcopy(results) | {"img_path": path})
            for path in (self.path, self.path, str(self.decoy))
        )
        if np.array_equal(first, again) and not np.array_equal(first, other):
            raise InputError(
                f"'{self.path}' cannot be corrupted: step {step.name} of the test pipeline opens "
                "the file once more, after it is loaded; expected steps that take results['img']"
            )

    def reloaded(self, image: Any, held: Any) -> Pixels | None:
        """The version, where a later step has put the clean image back; else ``None``."""
        if self._made is None or image is held or not self.loaded.states:
            return None
        clean = next(iter(self.loaded.states.values())).image
        same = isinstance(image, np.ndarray) and image.shape == clean.shape
        return self._made.copy() if same and np.array_equal(image, clean) else None

    def _corrupted(
        self, step: _Watched, before: Results, state: State, corrupt: Corrupt
    ) -> Results:
        order, pixels = self._order(step, before), self._pixels()
        if order is None or not order.holds(state.image, pixels):
            return self._through_file(step, before, state, corrupt)
        if self._made is None:
            self._made = order.of(corrupt(np.ascontiguousarray(pixels[..., ::-1])))
        return state.with_image(self._made.copy())

    def _order(self, step: _Watched, before: Results) -> Order | None:
        """How the step hands pixels on, tried once on a picture of noise of the image's size."""
        if step.number not in self._orders:
            shape = self._pixels().shape
            noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            try:
                found = self._read_pixels(step, before, noise)["img"]
            except Exception:  # of a step that wants more of a file than its pixels
                found = None
            orders = (Order(reverse=False), Order(reverse=True))
            self._orders[step.number] = next((o for o in orders if o.holds(found, noise)), None)
        return self._orders[step.number]

    def _through_file(
        self, step: _Watched, before: Results, state: State, corrupt: Corrupt
    ) -> Results:
        """Let the step read the version from a file, since it does more than decode."""
        if step.number not in self._read_pixels_of:
            self._read_pixels_of.add(step.number)
            self._check_reads(step, before, state.image)
        made = corrupt(np.ascontiguousarray(self._pixels()[..., ::-1]))
        return self._read_pixels(step, before, np.ascontiguousarray(made[..., ::-1]))

    def _check_reads(self, step: _Watched, before: Results, image: Pixels) -> None:
        """Refuse a step that does not read the pixels of the file that it is given."""
        pixels = self._pixels()
        same, other = (
            self._read_pixels(step, before, given)["img"] for given in (pixels, 255 - pixels)
        )
        if describe_array(same) != describe_array(image) or np.array_equal(same, other):
            raise InputError(
                f"'{self.path}' cannot be corrupted: step {step.name} gives "
                f"{describe_array(image)}, and {describe_array(same)} for a copy of 8 bits and "
                "three channels"
            )
        apart = np.abs(same - image.astype(np.float64)).mean()
        if apart > _APART * np.abs(image).mean():
            raise InputError(
                f"'{self.path}' cannot be corrupted: step {step.name} gives other pixels for a "
                f"copy of it elsewhere, {apart:.3g} apart; does it read other files too?"
            )

    def _pixels(self) -> Pixels:
        """The file's pixels, BGR."""
        if self._file_pixels is None:
            loaded = next(iter(self.loaded.states.values())).image
            found = read_as(self.path, loaded)
            if found is None:
                raise InputError(
                    f"'{self.path}' cannot be corrupted: expected a picture of 8 bits and three "
                    f"channels or one, got a file that is loaded as {describe_array(loaded)}"
                )
            self._file_pixels = found
        return self._file_pixels

    def _read_pixels(self, step: _Watched, before: Results, pixels: Pixels) -> Results:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes())
            file.flush()
            return self._read(step, before, Path(file.name))

    def _read(self, step: _Watched, before: Results, path: Path) -> Results:
        with naming_the_image(lambda: str(path)):
            out = step.inner({**copy.deepcopy(before), "img_path": str(path)})
        if not _has_image(out):
            raise InputError(f"'{path}': step {step.name} loads no image from it")
        return {**out, "img_path": before["img_path"]}


class _Watched:
    """A step of a pipeline, or a wrapper of steps, that is watched."""

    def __init__(self, inner: Any, number: int, exchange: Exchange) -> None:
        self.inner, self.number, self.exchange = inner, number, exchange
        self.inside: list[_Watched] = []  # steps of a wrapper
        self.adds_labels: Callable[[Results], Results] | None = None
        self.packs = False

    @property
    def name(self) -> str:
        return type(self.inner).__name__

    def __call__(self, results: Results) -> Results | None:
        if results.get("img") is None and self.exchange.is_at_hand(results):
            return self.exchange.run(self, results)
        if self.adds_labels is not None and "gt_seg_map" not in results:
            labels = (self.number, "labels")
            results = self.exchange.run_blind(labels, self.adds_labels, results)
        held = results.get("img")
        if self.exchange.decoy is not None and held is not None and not self.inside:
            self.exchange.try_decoy(self, results)
        if held is None or self.inside:
            out = self.inner(results)
        else:
            out = self.exchange.run_blind(self.number, self.inner, results)
        if isinstance(out, dict):
            self.packs |= "img" not in out and "inputs" in out
            version = self.exchange.reloaded(out.get("img"), held)
            if version is not None:
                out["img"] = version
        return out

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # not to be asked of a half-copied step
            raise AttributeError(name)
        return getattr(self.__dict__["inner"], name)


class _Pipeline:
    """The steps, each run in turn; an item that they drop is refused, not replaced by another."""

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self.inner, self.exchange = inner, exchange

    def __call__(self, results: Results) -> Results:
        out = self.inner(results)
        if out is None:  # mmengine's way to ask for another image
            raise InputError(f"the test pipeline gives nothing for '{self.exchange.path}'")
        return out

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["inner"], name)


def watch(datasets: list[Any]) -> tuple[Exchange, list[_Watched]]:
    """Watch every step of the data sets' pipelines.

    Args:
        datasets: Built data sets that have a ``pipeline``; it is replaced.

    Returns:
        What the steps share, and the steps.

    Raises:
        InputError: If a data set has no pipeline of steps.
    """
    exchange = Exchange()
    steps: list[_Watched] = []

    def watched(inner: Any) -> _Watched:
        first = len(steps)
        for name, value in list(getattr(inner, "__dict__", {}).items()):
            if _holds_steps(value):
                setattr(inner, name, mapped(value))
        step = _Watched(inner, len(steps), exchange)
        step.inside = steps[first:]
        steps.append(step)
        return step

    def mapped(value: Any) -> Any:
        if isinstance(value, _COMPOSE):
            value.transforms = [watched(step) for step in value.transforms]
            return value
        if isinstance(value, dict):
            return {key: mapped(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(mapped(part) for part in value)
        return watched(value)

    for dataset in datasets:
        pipeline = getattr(dataset, "pipeline", None)
        if not _holds_steps(pipeline):
            raise InputError(
                f"the test data set {type(dataset).__name__} has no pipeline of steps, so its "
                "images cannot be corrupted"
            )
        dataset.pipeline = _Pipeline(mapped(pipeline), exchange)
    return exchange, steps


def add_labels(steps: list[_Watched], build: Callable[[dict[str, Any]], Any]) -> None:
    """Load the label map before the steps that pack a sample, as mmseg's test pipelines do."""
    for step in steps:
        if step.packs and not any(inner.packs for inner in step.inside):
            step.adds_labels = build(dict(_LABELS))


def _holds_steps(value: Any) -> bool:
    """Whether this is a pipeline, or a list or dict of steps or pipelines."""
    if isinstance(value, _COMPOSE):
        return True
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list | tuple) or not inner:
        return False
    return all(_is_step(part) or _holds_steps(part) for part in inner)


def _is_step(value: Any) -> bool:
    return isinstance(value, BaseTransform) or (
        callable(value) and any(type(value) is kind for kind in _registered())
    )


def _registered() -> Iterator[type]:
    registries = [TRANSFORMS]
    while registries:
        registry = registries.pop()
        yield from registry.module_dict.values()
        registries += registry.children.values()


def _image_of(step: _Watched, results: Results) -> Any:
    """The image that a step gives; ``None`` of a step that fails or gives none."""
    try:
        out = step.inner(results)
    except Exception:  # of a step that wants more of a file than its pixels
        return None
    return out.get("img", out.get("inputs")) if isinstance(out, dict) else None


def _has_image(results: Any) -> bool:
    return isinstance(results, dict) and results.get("img") is not None


__all__ = ["Exchange", "ImageLoadedSignal", "add_labels", "watch"]
