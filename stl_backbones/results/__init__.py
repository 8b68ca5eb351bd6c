"""The store of finished cells."""

from stl_backbones.results.cell_file import DamagedCellError
from stl_backbones.results.store import CellStore

__all__ = ["CellStore", "DamagedCellError"]
