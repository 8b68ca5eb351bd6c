"""The corruptions of ImageNet-C-bar and CIFAR-10-C-bar.

Every function takes an ``(H, W, 3)`` uint8 RGB image, contiguous and writeable but left as it is,
its severity in the benchmark's own number, and the generator that all its draws come from, and
returns a new image. The benchmark's images are square; where they are not, sizes follow the
shorter side S, and places are drawn over the whole image.

The order of the draws is stated in each docstring: the same generator gives the same image in
every process. The official files were drawn with generators that were not seeded by image, so they
can be equalled in distribution only.

References:
    Mintun, Kirillov & Xie 2021, arXiv:2102.11273. Written from formulas.
"""
