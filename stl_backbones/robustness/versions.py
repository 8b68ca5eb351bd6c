"""The images of a sweep: every cell's version of every image, each image decoded once."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from torch.utils.data import DataLoader, Dataset

from stl_backbones.datasets.integrity import check_whole, decoded_size, image_id
from stl_backbones.datasets.loading import naming_the_image, without_opencv_threads
from stl_backbones.datasets.transforms import corrupt_bgr
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.records import Cell, CorruptionEngine, CorruptionSpec

Results = dict[str, Any]  # what goes from one step of a pipeline to the next

_COPY_SUFFIXES = (".png", ".jpg")  # of a corrupted copy whose files are not named like the images
_SHOWN = 3


class ImageVariants(Dataset):
    """The versions of a data set's images, ready for the model: item ``(image, cell)``.

    The images decoded last are kept, so a worker should be given all cells of the same images one
    after the other, as `load_variants` does.

    Args:
        dataset: A built data set of mmseg or mmdet; its own pipeline is not used.
        loading: The steps up to the one that loads the image.
        rest: The steps after it.
        indices: The images to use, as indices of ``dataset``.
        image_root: The data set's image folder; ids are paths below it.
        engine: How images are corrupted.
        corrupted: Folder per cell to read instead of corrupting, see `find_corrupted_folders`.
        remember: Images that are kept.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        loading: Callable[[Results], Results | None],
        rest: Callable[[Results], Results | None],
        indices: Sequence[int],
        image_root: str | None,
        engine: CorruptionEngine,
        corrupted: Mapping[Cell, Path] | None = None,
        remember: int = 1,
    ) -> None:
        self.dataset, self.loading, self.rest = dataset, loading, rest
        self.indices, self.image_root = tuple(indices), image_root
        self.engine, self.corrupted = engine, corrupted
        self.remember = remember
        self._loaded: dict[int, Results] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: tuple[int, Cell]) -> Results:
        image, cell = item
        if cell.is_clean or self.corrupted is None:
            return self.finish(item, self.load(image))
        info = self.dataset.get_data_info(self.indices[image])
        clean_path = info["img_path"]
        key = image_id(clean_path, self.image_root)
        info["img_path"] = str(corrupted_path(self.corrupted[cell], key))
        refuse_clean_copy(info["img_path"], clean_path)
        return self._rest({**self._load(info), "img_path": clean_path})

    def load(self, image: int) -> Results:
        """Run the pipeline up to the step that loads the image; the result must not be changed."""
        if image not in self._loaded:
            while len(self._loaded) >= self.remember:
                self._loaded.pop(next(iter(self._loaded)))
            self._loaded[image] = self._load(self.dataset.get_data_info(self.indices[image]))
        return self._loaded[image]

    def finish(self, item: tuple[int, Cell], loaded: Results) -> Results:
        """Corrupt what `load` returned for the image, and run the rest of the pipeline."""
        cell = item[1]
        image = loaded["img"]
        if cell.is_clean:
            image = image.copy()
        else:
            spec = CorruptionSpec(cell.corruption, cell.severity, self.engine)
            image = corrupt_bgr(image, spec, key=image_id(loaded["img_path"], self.image_root))
        others = {name: value for name, value in loaded.items() if name != "img"}
        return self._rest({**copy.deepcopy(others), "img": image})

    def _load(self, info: Results) -> Results:
        with naming_the_image(lambda: info["img_path"]):
            return _whole(self.loading(info), info)

    def _rest(self, results: Results) -> Results:
        return _whole(self.rest(results), results)


class LoadedImages(Dataset):
    """The same images, loaded only: for corruption on the model's device, outside the workers.

    Args:
        dataset: Its `ImageVariants.finish` does the rest.
    """

    def __init__(self, dataset: ImageVariants) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, image: int) -> Results:
        return self.dataset.load(image)


def load_variants(
    dataset: ImageVariants,
    images: Sequence[Sequence[int]],
    cells: Sequence[Cell],
    *,
    workers: int,
    in_this_process: bool = False,
) -> Iterator[Results]:
    """Yield, for each group of images, every cell's version of each: cell after cell.

    Each worker makes its share of a group, the same images in all cells, since the loader hands
    items to its workers in turn: an image is decoded once, and few versions are in memory.

    Args:
        dataset: Makes the versions.
        images: Groups of images; best of a multiple of ``workers``.
        cells: The cells.
        workers: Processes; 0 makes the versions here.
        in_this_process: Let workers load alone, and corrupt here, a version ahead of the model: for
            engines that run on the model's device.
    """
    dataset.remember = max(map(len, images), default=1)
    if in_this_process:
        flat = [image for group in images for image in group]
        loaded = _loader(LoadedImages(dataset), flat, workers)
        yield from _one_ahead(_finished(dataset, images, cells, loaded))
        return
    items = [(image, cell) for group in images for cell in cells for image in group]
    yield from _loader(dataset, items, workers)


def _loader(dataset: Dataset, items: Sequence[Any], workers: int) -> Iterator[Any]:
    loader = DataLoader(dataset, sampler=items, batch_size=None, num_workers=workers,
                        collate_fn=_as_it_is)  # fmt: skip
    with without_opencv_threads():
        return iter(loader)  # starts the workers


def _as_it_is(sample: Any) -> Any:
    return sample


def _finished(
    dataset: ImageVariants,
    images: Sequence[Sequence[int]],
    cells: Sequence[Cell],
    loaded: Iterator[Results],
) -> Iterator[Results]:
    for group in images:
        own = [next(loaded) for _ in group]
        for cell in cells:
            for image, results in zip(group, own, strict=True):
                yield dataset.finish((image, cell), results)


def _one_ahead(samples: Iterator[Results]) -> Iterator[Results]:
    """Prepare the next sample in a thread while the model works on this one."""
    end = object()
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(next, samples, end)
        while (sample := upcoming.result()) is not end:
            upcoming = pool.submit(next, samples, end)
            yield cast("Results", sample)


def _whole(results: Results | None, info: Results) -> Results:
    if results is None:  # mmengine's way to say: take another image
        raise InputError(f"the test pipeline gives nothing for '{info.get('img_path')}'")
    return results


def corrupted_path(folder: Path, key: str) -> Path:
    """Where a cell's folder holds an image: under its own name, else as PNG or JPEG.

    Args:
        folder: The cell's folder.
        key: The image's id.

    Returns:
        ``folder / key``, or the same with suffix ``.png`` or ``.jpg`` if only that is a file.
    """
    path = folder / key
    candidates = (path, *(path.with_suffix(suffix) for suffix in _COPY_SUFFIXES))
    return next((candidate for candidate in candidates if candidate.is_file()), path)


def find_corrupted_folders(
    root: str | Path, cells: Sequence[Cell], keys: Sequence[str], *, image_root: str | None
) -> dict[Cell, Path]:
    """Find each cell's folder in a corrupted copy of a data set, and check what is in it.

    The layout is ``ROOT/<corruption>/<severity>/<image>``, where the image's path is that below the
    clean image folder, or the same with suffix ``.png`` or ``.jpg``; a level with the split's name
    (``val``) in between is taken too.

    Args:
        root: The corrupted copy.
        cells: The corrupted cells that are needed.
        keys: The ids of the images that are scored.
        image_root: The clean image folder.

    Raises:
        FileNotFoundError: If the root, a cell's folder or an image is missing.
        ValueError: If the root is the clean folder, or a cell holds other images or broken ones.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError(f"--corrupted-root '{root}' does not exist")
    clean = Path(image_root) if image_root is not None else None
    if clean is not None and root.resolve() in (clean.resolve(), clean.parent.resolve()):
        raise InputError(
            f"--corrupted-root '{root}' is the clean image folder; expected a corrupted copy with "
            "<corruption>/<severity>/<image> in it"
        )
    known = set(keys) | (_names_below(clean, Path(keys[0]).suffix) if clean is not None else set())
    folders = {}
    for cell in cells:
        plain = root / cell.corruption / str(cell.severity)
        with_split = plain / clean.name if clean is not None else plain
        folders[cell] = with_split if corrupted_path(with_split, keys[0]).is_file() else plain
        if not plain.is_dir():
            raise MissingFileError(
                f"--corrupted-root '{root}' has no cell '{cell.name}': expected folder '{plain}'"
            )
        _check_cell(folders[cell], cell, keys, known=known, image_root=clean)
    return folders


def _check_cell(
    folder: Path, cell: Cell, keys: Sequence[str], *, known: Set[str], image_root: Path | None
) -> None:
    paths = {key: corrupted_path(folder, key) for key in keys}
    # `a.png` is no copy of `a.jpg` where the clean set has an `a.png` too.
    missing = [
        key
        for key, path in paths.items()
        if not path.is_file() or path.relative_to(folder).as_posix() in known - {key}
    ]
    if missing:
        raise MissingFileError(
            f"'{folder}' is incomplete: {len(missing)} of {len(keys)} images of cell '{cell.name}' "
            f"are missing ({_some(missing)})"
        )
    there = _names_below(folder, paths[keys[0]].suffix)
    stems = {Path(key).with_suffix("") for key in known}
    foreign = sorted(name for name in there - known if Path(name).with_suffix("") not in stems)
    if foreign:
        raise InputError(
            f"'{folder}' holds {len(foreign)} images that the clean set has not "
            f"({_some(foreign)}): is it of another data set or split?"
        )
    for key, path in paths.items():
        check_whole(path)
        if image_root is not None:
            _check_size(path, image_root / key)
    if image_root is not None:
        refuse_clean_copy(paths[keys[0]], image_root / keys[0])


def _check_size(path: Path, clean: Path) -> None:
    size, expected = decoded_size(path), decoded_size(clean)
    if size != expected:
        raise InputError(
            f"'{path}' is {size[0]}x{size[1]}, the clean image {expected[0]}x{expected[1]}"
        )


def refuse_clean_copy(corrupted: str | Path, clean: str | Path) -> None:
    """Refuse a 'corrupted' image that is the clean one, byte for byte.

    Raises:
        ValueError: If it is.
    """
    corrupted, clean = Path(corrupted), Path(clean)
    same_size = corrupted.stat().st_size == clean.stat().st_size
    if same_size and corrupted.read_bytes() == clean.read_bytes():
        raise InputError(f"'{corrupted}' is the clean image '{clean}', not a corrupted one")


def _names_below(folder: Path, suffix: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(f"*{suffix}")}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def fingerprint(files: Sequence[tuple[str, Path]]) -> str:
    """blake2b over names and bytes of files, in the order given; 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, path in files:
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


__all__ = [
    "ImageVariants",
    "corrupted_path",
    "find_corrupted_folders",
    "fingerprint",
    "load_variants",
    "refuse_clean_copy",
]
