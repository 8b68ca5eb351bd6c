"""Adapters between an evaluation loop and `stl_backbones.metrics`.

`classified` needs torch alone. Importing this registers the others' metrics where mmengine is
installed: configs name it in ``custom_imports``.
"""

from importlib import import_module
from importlib.util import find_spec

if find_spec("mmengine") is not None:
    for module in ("classification", "segmentation"):
        import_module(f"{__name__}.{module}")
