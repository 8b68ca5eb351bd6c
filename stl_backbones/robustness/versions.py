"""Every cell's version of every image, made from the image as it was loaded once."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from stl_backbones.datasets import loading
from stl_backbones.metrics.light import LIGHT, brightness_and_contrast
from stl_backbones.records import Cell
from stl_backbones.robustness.feeding import Put, map_tensors, one_ahead, putting_on

CPU = torch.device("cpu")
Light = dict[int, tuple[float, float]]  # by image


@dataclass(frozen=True)
class Part:
    """What a worker makes in one go: some images in one cell."""

    images: tuple[int, ...]
    cell: Cell


class Versions(Dataset, ABC):
    """Versions of a data set's images, ready for the model; item: a `Part`.

    What `load` returns is kept until other images are asked for, so a worker should be given all
    cells of the same images one after the other, as `load_versions` does.
    """

    shown: Any = None  # pixels of the version that `make` made last, RGB; or the file that has them

    def __init__(self) -> None:
        self._images: tuple[int, ...] = ()
        self._loaded: dict[int, Any] = {}
        self.light: Light = {}  # of the images whose clean version has come from `load_versions`

    def pixels(self, index: int) -> npt.NDArray[Any] | None:
        """A clean image that is loaded, ``(H, W, 3)``, channels in any order; ``None``: unknown."""
        del index
        return None

    def light_of(self, part: Part) -> Light:
        """Brightness and contrast of a part's images, if it is of the clean cell."""
        found = {index: self.pixels(index) for index in part.images if part.cell.is_clean}
        return {
            index: brightness_and_contrast(image)
            for index, image in found.items()
            if image is not None and image.dtype == np.uint8 and image.ndim == 3
        }

    def take_light(self, images: Sequence[int]) -> dict[str, npt.NDArray[np.generic]]:
        """Those of `LIGHT` of some images, ``(n,)`` float32; NaN where nothing is known."""
        values = [self.light.pop(index, (np.nan, np.nan)) for index in images]
        columns = np.array(values, np.float32).reshape(-1, len(LIGHT)).T
        return dict(zip(LIGHT, columns, strict=True))

    @abstractmethod
    def load(self, index: int) -> Any:
        """Decode a clean image; the result must not be changed."""

    @abstractmethod
    def make(self, index: int, cell: Cell) -> Any:
        """The version of an image, ready for the model."""

    def pack(self, versions: list[Any]) -> Any:
        """What goes from a worker to the model: a list, or one tensor."""
        return versions

    def send(self, packed: Any, put: Put) -> Any:
        """What `pack` returned, with its tensors put where the model is."""
        return map_tensors(packed, put)

    def make_all(self, images: tuple[int, ...], cell: Cell) -> Any:
        """The versions of some images in one cell, packed."""
        return self.pack([self.make(index, cell) for index in images])

    def loaded(self, index: int) -> Any:
        """What `load` returns, from the last call if it is still there."""
        if index not in self._loaded:
            self._loaded[index] = self.load(index)
        return self._loaded[index]

    def keep(self, images: tuple[int, ...], loaded: Sequence[Any]) -> None:
        """Take what another process loaded."""
        self._images, self._loaded = images, dict(zip(images, loaded, strict=True))

    def __getitem__(self, part: Part) -> Any:
        if part.images != self._images:
            self._images, self._loaded = part.images, {}
        return self.make_all(part.images, part.cell)


class _Made(Dataset):
    """What a worker makes."""

    def __init__(self, versions: Versions) -> None:
        self.carried = loading.Carried(versions)

    def __getitem__(self, item: Any) -> Any:
        versions = self.carried.value
        return versions[item], versions.light_of(item)


class _Loaded(_Made):
    """Images, loaded only: for corruption on the model's device, outside the workers."""

    def __getitem__(self, item: int) -> Any:
        return self.carried.value.load(item)


def load_versions(
    versions: Versions,
    groups: Sequence[tuple[int, ...]],
    cells: Sequence[Cell],
    *,
    workers: int,
    in_this_process: bool = False,
    device: torch.device = CPU,
) -> Iterator[Any]:
    """Yield every cell's versions of the first group of images, then of the second, and so on.

    Each worker makes its share of every group, the same images in all cells, since the loader hands
    items to its workers in turn: an image is loaded in one worker, once, and few versions are in
    memory.

    Args:
        versions: Makes them.
        groups: Images that are worked on together.
        cells: The cells that each group is needed in.
        workers: Processes; 0 makes the versions here.
        in_this_process: Let workers load alone, and make the versions here, a group ahead of the
            model: for engines that run on the model's device.
        device: The model's; to a GPU the next group's versions are copied while it works.

    Yields:
        What `Versions.pack` returns for a group's images in one cell, on the device.
    """
    # Loaders start their workers here: one forked in a thread of a pool fails when it ends.
    put = putting_on(device)
    if in_this_process:
        flat = [index for group in groups for index in group]
        loaded = _loader(_Loaded(versions), flat, workers)
        made = _made_here(versions, groups, cells, loaded, put)
    else:
        shares = max(workers, 1)
        parts = [
            Part(share, cell) for group in groups for cell in cells for share in _cut(group, shares)
        ]
        shared = _loader(_Made(versions), parts, workers)
        made = _joined(versions, shared, len(parts) // shares, shares, put)
    yield from one_ahead(made, device) if in_this_process or device != CPU else made


def _made_here(
    versions: Versions,
    groups: Sequence[tuple[int, ...]],
    cells: Sequence[Cell],
    loaded: Iterator[Any],
    put: Put,
) -> Iterator[Any]:
    for group in groups:
        versions.keep(group, [next(loaded) for _ in group])
        for cell in cells:
            part = Part(group, cell)
            made = versions[part]
            versions.light |= versions.light_of(part)
            yield versions.send(made, put)


def _joined(
    versions: Versions, made: Iterator[Any], groups: int, shares: int, put: Put
) -> Iterator[Any]:
    for _ in range(groups):
        parts = []
        for _ in range(shares):
            packed, light = next(made)
            versions.light |= light
            parts.append(versions.send(packed, put))
        yield _join(parts)


def _cut(images: tuple[int, ...], shares: int) -> list[tuple[int, ...]]:
    """Cut images into runs of nearly equal length."""
    edges = [share * len(images) // shares for share in range(shares + 1)]
    return [images[first:last] for first, last in itertools.pairwise(edges)]


def _loader(dataset: Dataset, items: Sequence[Any], workers: int) -> Iterator[Any]:
    context = loading.worker_context(loading.START_METHOD) if workers else None
    loader = DataLoader(dataset, sampler=items, batch_size=None, num_workers=workers,
                        collate_fn=_as_it_is, worker_init_fn=loading.begin_worker,
                        multiprocessing_context=context)  # fmt: skip
    with loading.without_opencv_threads():
        return iter(loader)  # starts the workers


def _as_it_is(item: Any) -> Any:
    return item


def _join(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], torch.Tensor):
        return torch.cat(list(parts))
    return [version for part in parts for version in part]


__all__ = ["CPU", "Part", "Versions", "load_versions"]
