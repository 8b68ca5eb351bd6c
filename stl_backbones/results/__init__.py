"""The store of finished cells."""

from stl_backbones.results.store import CellStore, DamagedCellError

__all__ = ["CellStore", "DamagedCellError"]
