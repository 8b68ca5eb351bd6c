"""Running on CPU and GPU, in one process and in many."""

from stl_backbones.engine.distributed import (
    CPUDistributedDataParallel,
    Ranks,
    leave,
    start_distributed,
)
from stl_backbones.engine.loading import load_model_weights, trust_plain_types
from stl_backbones.engine.optim import BFloat16OptimWrapper

__all__ = [
    "BFloat16OptimWrapper",
    "CPUDistributedDataParallel",
    "Ranks",
    "leave",
    "load_model_weights",
    "start_distributed",
    "trust_plain_types",
]
