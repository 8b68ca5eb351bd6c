"""Running on CPU and GPU, in one process and in many; exact, averaged, guarded training.

`distributed` and `loading` need torch alone. Importing this registers the others' hooks, loops and
wrappers where mmengine is installed: configs name it in ``custom_imports``.
"""

from importlib import import_module
from importlib.util import find_spec

REGISTERED = (
    "checkpointing",
    "data_parallel",
    "decay",
    "ema",
    "guards",
    "loss_notes",
    "optim",
    "reproducible",
)

if find_spec("mmengine") is not None:
    for module in REGISTERED:
        import_module(f"{__name__}.{module}")
