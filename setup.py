"""How mito-instance is built and what it needs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
README = ROOT / "README.md"


def read_version() -> str:
    """The version that the package itself states; importing it here would need its dependencies."""
    text = (ROOT / "mito_instance" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('mito_instance/__init__.py: no line __version__ = "X.Y.Z"')
    return found.group(1)


# Enough to convert, measure, evaluate and draw; no torch. Exact tested versions: constraints.txt.
LIGHT = [
    "faster-coco-eval>=1.6",
    "imagecodecs>=2023.3.16",  # what tifffile decompresses LZW, JPEG and fax pages with
    "matplotlib>=3.7",
    "mrcfile>=1.4",
    "numpy>=1.26",
    "opencv-python-headless>=4.8",  # headless: the same cv2 without libGL
    "pandas>=2.0",
    "pycocotools>=2.0.7",
    "roifile>=2024.5.24",
    "scikit-image>=0.22",
    "scipy>=1.11",
    "shapely>=2.0",
    "tifffile>=2023.7.10",
    "tqdm>=4.65",
]

# Detectron2 itself is not named here: the package index has no usable release of it. It comes from
# third_party/detectron2 (`make setup` does that), or is the upstream build that the user has.
DETECTION = [
    "fvcore>=0.1.5",
    "iopath>=0.1.9",
    "monai>=1.4",  # the 3D U-Net
    "PyYAML>=6.0",
    "safetensors>=0.4",
    "segmentation-models-pytorch>=0.4",  # the 2D U-Nets
    "tensorboard>=2.12",
    "torch>=2.4",
    "torchvision>=0.19",
    "yacs>=0.1.8",
]

DEV = [
    "hypothesis>=6.100",
    "import-linter>=2.0",
    "mypy>=1.11",
    "pre-commit>=3.5",
    "pytest>=8.0",
    "pytest-xdist>=3.5",
    "read-roi>=1.6",  # the second opinion on ImageJ ROI files in the tests
    "ruff>=0.9",
]

setup(
    name="mito-instance",
    version=read_version(),
    description="Find, count and measure every single mitochondrion in electron micrographs",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["mito_instance", "mito_instance.*"]),
    # The shipped model with its config and card. The training configs stay in the checkout,
    # where training runs from (configs/).
    package_data={
        "mito_instance": [
            "py.typed",
            *(f"models/**/*.{suffix}" for suffix in ("json", "md", "safetensors", "yaml")),
        ]
    },
    install_requires=LIGHT,
    extras_require={"detection": DETECTION, "dev": DEV},
    entry_points={"console_scripts": ["mito = mito_instance.cli:main"]},
    zip_safe=False,  # mypy and the model files need real paths
)
