"""Running on CPU and GPU, in one process and in many; exact, averaged, guarded training."""

from stl_backbones.engine.checkpointing import (
    SafeCheckpointHook,
    find_resume,
    write_whole_files,
)
from stl_backbones.engine.decay import NoDecayConstructor
from stl_backbones.engine.distributed import (
    CPUDistributedDataParallel,
    Ranks,
    leave,
    start_distributed,
)
from stl_backbones.engine.ema import EMAWeightsHook, RawAndEMAValLoop, WarmedUpEMA
from stl_backbones.engine.guards import ModelCardHook, StopOnBadLoss
from stl_backbones.engine.loading import load_model_weights, trust_plain_types
from stl_backbones.engine.optim import BFloat16OptimWrapper
from stl_backbones.engine.reproducible import EpochSampler, ReproducibleSteps

__all__ = [
    "BFloat16OptimWrapper",
    "CPUDistributedDataParallel",
    "EMAWeightsHook",
    "EpochSampler",
    "ModelCardHook",
    "NoDecayConstructor",
    "Ranks",
    "RawAndEMAValLoop",
    "ReproducibleSteps",
    "SafeCheckpointHook",
    "StopOnBadLoss",
    "WarmedUpEMA",
    "find_resume",
    "leave",
    "load_model_weights",
    "start_distributed",
    "trust_plain_types",
    "write_whole_files",
]
