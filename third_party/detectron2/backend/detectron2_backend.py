"""PEP 517 backend that repacks Detectron2's Python files as a `py3-none-any` wheel.

The source is a wheel on the package index whose Python files equal a known upstream commit. It
carries one compiled extension, for one Python version, that Mask R-CNN never calls: the backend
leaves it out, so the result installs on every Python without a compiler. README.md gives the why.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SOURCE_REQUIREMENT = "sal-detectron2==0.7.2"
SOURCE_SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
UPSTREAM_COMMIT = "a59f0563"

NAME = "detectron2"
VERSION = f"0.6+{UPSTREAM_COMMIT}"
DIST_INFO = f"{NAME}-{VERSION}.dist-info"
WHEEL_NAME = f"{NAME}-{VERSION}-py3-none-any.whl"

# What `import detectron2` and Mask R-CNN training and prediction import. Left out on purpose:
# torch, torchvision and OpenCV (the user chooses the build; a requirement here could replace it),
# black and hydra-core (only the command-line overrides of LazyConfig reach for them).
REQUIREMENTS = (
    "cloudpickle",
    "fvcore>=0.1.5",
    "iopath>=0.1.7",
    "matplotlib",
    "numpy",
    "omegaconf>=2.1",
    "packaging",
    "Pillow>=9.1",
    "pycocotools>=2.0.2",
    "tabulate",
    "tensorboard",
    "termcolor>=1.1",
    "tqdm>4.29.0",
    "yacs>=0.1.8",
)

METADATA_HEADER = f"""\
Metadata-Version: 2.1
Name: {NAME}
Version: {VERSION}
Summary: Detectron2's Python files at upstream commit {UPSTREAM_COMMIT}, without compiled code
Home-page: https://github.com/facebookresearch/detectron2
Author: FAIR
License: Apache-2.0
Classifier: License :: OSI Approved :: Apache Software License
Classifier: Programming Language :: Python :: 3
License-File: LICENSE
Requires-Python: >=3.10
"""
WHEEL_METADATA = """\
Wheel-Version: 1.0
Generator: detectron2_backend
Root-Is-Purelib: true
Tag: py3-none-any
"""
# The oldest date that a zip archive can hold: the same source gives the same wheel, byte for byte.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class BuildError(RuntimeError):
    """The wheel cannot be built; the message says what to do."""


class UnsupportedOperation(RuntimeError):
    """PEP 517's answer of a backend that has no source distribution to give."""


@dataclass(frozen=True)
class Patch:
    """One exact replacement in one file, and why it is needed."""

    path: str
    before: str
    after: str
    reason: str


PATCHES = (
    Patch(
        path="detectron2/model_zoo/model_zoo.py",
        before="import pkg_resources\n",
        after="# Changed by mito-instance: no pkg_resources (gone in setuptools 81).\n",
        reason="setuptools 81 removed pkg_resources",
    ),
    Patch(
        path="detectron2/model_zoo/model_zoo.py",
        before=(
            "    cfg_file = pkg_resources.resource_filename(\n"
            '        "detectron2.model_zoo", os.path.join("configs", config_path)\n'
            "    )\n"
        ),
        after=(
            "    # Changed by mito-instance: was pkg_resources.resource_filename.\n"
            "    cfg_file = os.path.join(\n"
            '        os.path.dirname(os.path.abspath(__file__)), "configs", config_path\n'
            "    )\n"
        ),
        reason="setuptools 81 removed pkg_resources",
    ),
    Patch(
        path="detectron2/__init__.py",
        before='__version__ = "0.7.2"\n',
        after='__version__ = "0.6"  # Changed by mito-instance: the number that upstream has\n',
        reason="0.7.2 is the number of the repackaged wheel; upstream says 0.6",
    ),
)


def build_wheel(
    wheel_directory: str,
    config_settings: object = None,
    metadata_directory: str | None = None,
) -> str:
    """Fetch the source wheel, write the pure-Python wheel to `wheel_directory`, give its name."""
    with tempfile.TemporaryDirectory() as folder:
        files = keep_python_files(read_wheel(fetch_source(Path(folder))))
    write_wheel(Path(wheel_directory) / WHEEL_NAME, apply_patches(files, PATCHES))
    return WHEEL_NAME


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    """Refuse: this folder of the repository is the source; it is not distributed by itself."""
    raise UnsupportedOperation("detectron2 is built as a wheel only, from third_party/detectron2")


def fetch_source(folder: Path) -> Path:
    """Have pip download the source wheel into `folder`; pip checks the hash, and so do we.

    pip's own settings decide where from: PIP_INDEX_URL for a mirror, PIP_FIND_LINKS for a folder
    that holds the wheel, on a machine without internet.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{SOURCE_REQUIREMENT} --hash=sha256:{SOURCE_SHA256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    command += ["--requirement", str(requirements), "--require-hashes"]
    command += ["--no-deps", "--only-binary", ":all:"]
    # The wheel is tagged for CPython 3.10; its Python files run on every later version.
    command += ["--python-version", "310", "--implementation", "cp", "--abi", "none"]
    command += ["--platform", "any"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if finished.returncode != 0 or len(wheels) != 1:
        raise BuildError(
            f"pip could not download {SOURCE_REQUIREMENT} (exit {finished.returncode}); without "
            "internet, put its wheel into a folder and set PIP_FIND_LINKS to that folder.\n"
            f"{finished.stderr.strip()}"
        )
    check_sha256(wheels[0], SOURCE_SHA256)
    return wheels[0]


def check_sha256(path: Path, expected: str) -> None:
    """Raise BuildError unless the file's SHA-256 (hex) is the expected one."""
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != expected:
        raise BuildError(f"{path.name}: sha256 is {actual}, expected {expected}; not installed")


def read_wheel(path: Path) -> dict[str, bytes]:
    """Every file of a wheel by its path inside it; folders are left out."""
    with zipfile.ZipFile(path) as archive:
        return {
            item.filename: archive.read(item) for item in archive.infolist() if not item.is_dir()
        }


def keep_python_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """Detectron2's Python files and model-zoo configs, and its licence; nothing compiled.

    The source wheel's top-level `tools` package is left out: its name clashes with others.
    """
    kept: dict[str, bytes] = {}
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.parts[0] == NAME and path.suffix in {".py", ".yaml"}:
            kept[name] = content
        elif path.parts[0].endswith(".dist-info") and path.name == "LICENSE":
            kept[f"{DIST_INFO}/LICENSE"] = content
    if f"{NAME}/__init__.py" not in kept or f"{DIST_INFO}/LICENSE" not in kept:
        raise BuildError("the source wheel holds no detectron2 package with a LICENSE")
    return kept


def apply_patches(files: dict[str, bytes], patches: tuple[Patch, ...]) -> dict[str, bytes]:
    """The files with every patch applied; each must match exactly once."""
    patched = dict(files)
    for patch in patches:
        text = patched.get(patch.path, b"").decode("utf-8")
        found = text.count(patch.before)
        if found != 1:
            raise BuildError(
                f"{patch.path}: expected {patch.before.strip()!r} once, found it {found} times; "
                f"the source changed, so check the patch again ({patch.reason})"
            )
        patched[patch.path] = text.replace(patch.before, patch.after).encode("utf-8")
    return patched


def metadata() -> str:
    """The METADATA file of the wheel."""
    return METADATA_HEADER + "".join(f"Requires-Dist: {item}\n" for item in REQUIREMENTS)


def record(files: dict[str, bytes]) -> str:
    """The RECORD file of the wheel: path, urlsafe base64 SHA-256 and size of every file."""
    lines = []
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{DIST_INFO}/RECORD,,", ""])


def write_wheel(path: Path, files: dict[str, bytes]) -> None:
    """Write the package files and the metadata made for them as one reproducible wheel."""
    unwanted = [name for name in files if re.search(r"\.(so|pyd|dylib)$", name)]
    if unwanted:
        raise BuildError(f"compiled files do not belong into a pure-Python wheel: {unwanted}")
    files = {
        **files,
        f"{DIST_INFO}/METADATA": metadata().encode(),
        f"{DIST_INFO}/WHEEL": WHEEL_METADATA.encode(),
        f"{DIST_INFO}/top_level.txt": f"{NAME}\n".encode(),
    }
    files[f"{DIST_INFO}/RECORD"] = record(files).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            item = zipfile.ZipInfo(name, ZIP_DATE)
            item.compress_type = zipfile.ZIP_DEFLATED
            item.external_attr = 0o644 << 16
            archive.writestr(item, content)
