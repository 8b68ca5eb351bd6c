"""Data sets that check what they read, transforms that corrupt it, and generated mini sets.

Importing this is cheap; what needs OpenMMLab is in `cityscapes`, `transforms` and `sweep`.
"""

from stl_backbones.datasets.integrity import check_whole, drop_broken_pairs, image_id

__all__ = ["check_whole", "drop_broken_pairs", "image_id"]
