"""What a sweep is asked for, and the images that it scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from stl_backbones.apis.config import building
from stl_backbones.corruptions import check_engine, get_protocol
from stl_backbones.corruptions.export import ManifestHeader, read_header
from stl_backbones.datasets import drop_broken_pairs, image_id
from stl_backbones.datasets.sweep import find_corrupted_folders
from stl_backbones.records import Cell


@dataclass(frozen=True)
class SweepOptions:
    """What to sweep, beside model and data.

    Attributes:
        protocol: The protocol's name.
        corruptions: Only these of the protocol's corruptions.
        severities: Only these severities.
        limit: Only the first images of the data set.
        corrupted_root: Read corrupted images from here instead of making them.
        mode: The corruption engine; ``None`` takes the protocol's default: ``'exact'`` where
            numbers by it are published, ``'fast'`` elsewhere.
        compat: The package whose numbers ``mode='exact'`` repeats.
        channel_order: What the corruption sees, ``'rgb'`` or ``'bgr'``.
        seed: Another seed, another draw of the benchmark.
        skip_broken: Leave out broken images instead of refusing the data set.
        name: The model's name in tables; default: the config's name.
        workers: Processes that load and corrupt ahead of the model.
    """

    protocol: str = "stl-cityscapes-c"
    corruptions: Sequence[str] | None = None
    severities: Sequence[int] | None = None
    limit: int | None = None
    corrupted_root: str | Path | None = None
    mode: str | None = None
    compat: str = "imaug-1.1.5"
    channel_order: str = "rgb"
    seed: int = 0
    skip_broken: bool = False
    name: str | None = None
    workers: int = 1

    def settled(self) -> SweepOptions:
        """The same options, checked, with the protocol's default mode filled in.

        Raises:
            ValueError: If an option is out of range or unknown.
            KeyError: If the protocol is unknown.
        """
        mode = self.mode or get_protocol(self.protocol).default_mode
        check_engine(mode=mode, channel_order=self.channel_order, compat=self.compat)
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, got {self.limit}")
        return dataclasses.replace(self, mode=mode)

    @property
    def engine(self) -> dict[str, Any]:
        """How images are corrupted: what `stl_backbones.corruptions.corrupt` takes."""
        return {
            "mode": self.mode,
            "compat": self.compat,
            "channel_order": self.channel_order,
            "seed": self.seed,
        }

    def cells(self) -> tuple[Cell, ...]:
        """The cells to measure, clean first.

        Raises:
            ValueError: If none remains.
            KeyError: If the protocol or a corruption is unknown.
        """
        return get_protocol(self.protocol).cells(
            corruptions=self.corruptions, severities=self.severities
        )


@dataclass(frozen=True)
class SweepData:
    """The images of a sweep, checked.

    Attributes:
        dataset: The built mmseg data set.
        indices: The images that are scored.
        keys: Their ids.
        image_root: The clean image folder.
        skipped: Ids of broken images left out.
        total: Images before a limit and before leaving out.
        corrupted: Folder per cell of a corrupted copy.
        manifest: What the copy says of itself; ``None`` if nothing.
    """

    dataset: Any
    indices: tuple[int, ...]
    keys: tuple[str, ...]
    image_root: str | None
    skipped: tuple[str, ...]
    total: int
    corrupted: Mapping[Cell, Path] | None
    manifest: ManifestHeader | None

    @classmethod
    def open(cls, config: Config, cells: Sequence[Cell], options: SweepOptions) -> SweepData:
        """Build and check the config's test data.

        Raises:
            ValueError: If there is none, or it is broken.
        """
        loader = config.get("test_dataloader")
        if not loader:
            raise ValueError("the config has no test_dataloader, so nothing to score")
        settings = loader.dataset.copy()
        if "skip_broken" in settings or "Checked" in str(settings.get("type")):
            settings.skip_broken = options.skip_broken
        with building("the data set"):
            dataset = DATASETS.build(settings)
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        root = dataset.data_prefix.get("img_path")
        whole, broken = drop_broken_pairs(items, skip_broken=options.skip_broken)
        broken = {**getattr(dataset, "skipped", {}), **broken}
        indices = tuple(whole[: options.limit])
        keys = tuple(image_id(items[index]["img_path"], root) for index in indices)
        corrupted, manifest = None, None
        if options.corrupted_root is not None:
            cells = [cell for cell in cells if not cell.is_clean]
            corrupted = find_corrupted_folders(options.corrupted_root, cells, keys, image_root=root)
            manifest = read_manifest(options.corrupted_root)
        skipped = tuple(image_id(path, root) for path in broken)
        total = len(items) + len(getattr(dataset, "skipped", {}))
        return cls(dataset, indices, keys, root, skipped, total, corrupted, manifest)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return tuple(self.dataset.metainfo["classes"])

    def files(self) -> Iterator[tuple[str, Path]]:
        """Images and label maps that are scored, named independently of where they lie."""
        for index, key in zip(self.indices, self.keys, strict=True):
            info = self.dataset.get_data_info(index)
            yield key, Path(info["img_path"])
            yield f"{key} label", Path(info["seg_map_path"])


def read_manifest(root: str | Path) -> ManifestHeader | None:
    """What a corrupted copy says of itself; ``None`` if nothing."""
    try:
        return read_header(Path(root))
    except FileNotFoundError:  # made by another tool
        return None
