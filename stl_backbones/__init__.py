"""FAN backbones, STL pretraining and robustness benchmarks on OpenMMLab and timm.

References:
    Zhao et al. 2023, "Fully Attentional Networks with Self-emerging Token Labeling", ICCV 2023.
"""

__version__ = "0.1.0"
