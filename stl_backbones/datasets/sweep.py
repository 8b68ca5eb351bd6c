"""The images of a sweep: every cell's version of every image, cell after cell."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from mmcv.transforms import Compose
from torch.utils.data import Dataset

from stl_backbones.datasets.integrity import check_whole, image_header, image_id
from stl_backbones.datasets.transforms import corrupt_bgr, split_after_loading
from stl_backbones.records import Cell, CorruptionSpec

_COPY_SUFFIXES = (".png", ".jpg")  # of a corrupted copy whose files are not named like the images
_SHOWN = 3


class SweepDataset(Dataset):
    """Item ``i`` is image ``i % n`` of cell ``i // n``, loaded, corrupted and ready for the model.

    Args:
        dataset: A built mmseg data set whose pipeline loads images.
        indices: The images to use, as indices of ``dataset``.
        cells: The cells, clean or corrupted.
        image_root: The data set's image folder; ids are paths below it.
        mode: The corruption engine.
        compat: The package whose numbers ``mode='exact'`` repeats.
        channel_order: What the corruption sees, ``'rgb'`` or ``'bgr'``.
        seed: The user's seed.
        corrupted: Folder per cell to read instead of corrupting, see `find_corrupted_folders`.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        indices: Sequence[int],
        cells: Sequence[Cell],
        image_root: str | None,
        mode: str = "fast",
        compat: str = "imaug-1.1.5",
        channel_order: str = "rgb",
        seed: int = 0,
        corrupted: Mapping[Cell, Path] | None = None,
    ) -> None:
        self.dataset = dataset
        self.indices = tuple(indices)
        self.cells = tuple(cells)
        self.image_root = image_root
        self.engine: dict[str, Any] = {
            "mode": mode, "compat": compat, "channel_order": channel_order, "seed": seed,
        }  # fmt: skip
        self.corrupted = corrupted
        steps, rest = split_after_loading(dataset.pipeline.transforms)
        self.steps, self.rest = Compose(steps), Compose(rest)

    def __len__(self) -> int:
        return len(self.cells) * len(self.indices)

    def __getitem__(self, item: int) -> dict[str, Any]:
        return self.finish(item, self.load(item))

    def load(self, item: int) -> dict[str, Any]:
        """Run the pipeline up to the step that loads the image."""
        cell = self._cell(item)
        info = self.dataset.get_data_info(self.indices[item % len(self.indices)])
        clean_path = info["img_path"]
        if not cell.is_clean and self.corrupted is not None:
            key = image_id(clean_path, self.image_root)
            info["img_path"] = str(corrupted_path(self.corrupted[cell], key))
            refuse_clean_copy(info["img_path"], clean_path)
        return {**self.steps(info), "img_path": clean_path}

    def finish(self, item: int, results: dict[str, Any]) -> dict[str, Any]:
        """Corrupt what `load` returned for the item, and run the rest of the pipeline."""
        cell = self._cell(item)
        if not cell.is_clean and self.corrupted is None:
            spec = CorruptionSpec(cell.corruption, cell.severity, **self.engine)
            key = image_id(results["img_path"], self.image_root)
            results["img"] = corrupt_bgr(results["img"], spec, key=key)
        return self.rest(results)

    def _cell(self, item: int) -> Cell:
        return self.cells[item // len(self.indices)]


class LoadedImages(Dataset):
    """The same items, loaded only: for corruption on the model's device, outside the workers.

    Args:
        dataset: Its `SweepDataset.finish` does the rest.
    """

    def __init__(self, dataset: SweepDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: int) -> dict[str, Any]:
        return self.dataset.load(item)


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
        raise FileNotFoundError(f"--corrupted-root '{root}' does not exist")
    clean = Path(image_root) if image_root is not None else None
    if clean is not None and root.resolve() in (clean.resolve(), clean.parent.resolve()):
        raise ValueError(
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
            raise FileNotFoundError(
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
        raise FileNotFoundError(
            f"'{folder}' is incomplete: {len(missing)} of {len(keys)} images of cell '{cell.name}' "
            f"are missing ({_some(missing)})"
        )
    there = _names_below(folder, paths[keys[0]].suffix)
    stems = {Path(key).with_suffix("") for key in known}
    foreign = sorted(name for name in there - known if Path(name).with_suffix("") not in stems)
    if foreign:
        raise ValueError(
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
    size, expected = image_header(path)[0], image_header(clean)[0]
    if size != expected:
        raise ValueError(
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
        raise ValueError(f"'{corrupted}' is the clean image '{clean}', not a corrupted one")


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
    "LoadedImages",
    "SweepDataset",
    "corrupted_path",
    "find_corrupted_folders",
    "fingerprint",
    "refuse_clean_copy",
]
