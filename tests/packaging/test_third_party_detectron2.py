"""The build backend of third_party/detectron2: its pure functions, without the network."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

BACKEND = Path(__file__).parents[2] / "third_party/detectron2/backend/detectron2_backend.py"
SOURCE_FILES = {
    "detectron2/__init__.py": b'__version__ = "0.7.2"\n',
    "detectron2/_C.cpython-310-x86_64-linux-gnu.so": b"\x7fELF",
    "detectron2/model_zoo/configs/Base.yaml": b"MODEL: {}\n",
    "detectron2/model_zoo/model_zoo.py": (
        b"import os\nimport pkg_resources\n\n\ndef get_config_file(config_path):\n"
        b"    cfg_file = pkg_resources.resource_filename(\n"
        b'        "detectron2.model_zoo", os.path.join("configs", config_path)\n'
        b"    )\n    return cfg_file\n"
    ),
    "sal_detectron2-0.7.2.dist-info/LICENSE": b"Apache License\n",
    "sal_detectron2-0.7.2.dist-info/METADATA": b"Name: sal-detectron2\n",
    "tools/__init__.py": b"",
}


@pytest.fixture(scope="module")
def backend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("detectron2_backend", BACKEND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(backend, tmp_path, monkeypatch) -> Path:
    """The wheel built from a source wheel of a few files, with the download replaced."""
    source = tmp_path / "source.whl"
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in SOURCE_FILES.items():
            archive.writestr(name, content)
    monkeypatch.setattr(backend, "fetch_source", lambda folder: source)
    return tmp_path / backend.build_wheel(str(tmp_path))


def test_wheel_holds_the_python_files_configs_and_licence_only(backend, wheel):
    assert wheel.name == "detectron2-0.6+a59f0563-py3-none-any.whl"
    assert set(backend.read_wheel(wheel)) == {
        "detectron2/__init__.py",
        "detectron2/model_zoo/configs/Base.yaml",
        "detectron2/model_zoo/model_zoo.py",
        *(
            f"{backend.DIST_INFO}/{name}"
            for name in ("LICENSE", "METADATA", "RECORD", "WHEEL", "top_level.txt")
        ),
    }


def test_record_lists_every_file_with_its_hash_and_size(backend, wheel):
    files = backend.read_wheel(wheel)
    record_name = f"{backend.DIST_INFO}/RECORD"
    rows = list(csv.reader(files.pop(record_name).decode().splitlines()))
    assert rows.pop() == [record_name, "", ""]
    assert {row[0] for row in rows} == set(files)
    for name, digest, size in rows:
        algorithm, value = digest.split("=", 1)
        expected = hashlib.new(algorithm, files[name]).digest()
        assert base64.urlsafe_b64decode(value + "=") == expected
        assert int(size) == len(files[name])


def test_wheel_is_the_same_byte_for_byte(backend, wheel):
    first = wheel.read_bytes()
    backend.build_wheel(str(wheel.parent))
    assert wheel.read_bytes() == first


def test_patched_model_zoo_finds_its_config_without_pkg_resources(backend, wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    package = tmp_path / "installed/detectron2"
    code = "import model_zoo; print(model_zoo.get_config_file('Base.yaml'))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=package / "model_zoo",
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == package / "model_zoo/configs/Base.yaml"
    assert "0.6" in (package / "__init__.py").read_text(encoding="utf-8")


def test_metadata_requires_no_torch_opencv_or_hydra(backend):
    requirements = [line for line in backend.metadata().splitlines() if "Requires-Dist" in line]
    assert len(requirements) == len(backend.REQUIREMENTS)
    assert not [line for line in requirements if any(n in line for n in ("torch", "cv", "hydra"))]
    assert "License: Apache-2.0" in backend.metadata()


def test_a_wrong_hash_is_refused(backend, tmp_path):
    path = tmp_path / "a.whl"
    path.write_bytes(b"something else")
    with pytest.raises(backend.BuildError, match=r"a\.whl: sha256 is .*, expected 491af0c7"):
        backend.check_sha256(path, backend.SOURCE_SHA256)
    backend.check_sha256(path, hashlib.sha256(b"something else").hexdigest())


@pytest.mark.parametrize(
    ("content", "times"),
    [
        pytest.param(b"", 0, id="line-gone"),
        pytest.param(b"import pkg_resources\n" * 2, 2, id="line-twice"),
    ],
)
def test_a_patch_that_does_not_match_once_is_an_error(backend, content, times):
    patch = backend.PATCHES[0]
    with pytest.raises(backend.BuildError, match=f"once, found it {times} times"):
        backend.apply_patches({patch.path: content}, (patch,))


@pytest.mark.parametrize("missing", ["detectron2/__init__.py", "LICENSE"])
def test_a_source_without_package_or_licence_is_refused(backend, missing):
    files = {name: data for name, data in SOURCE_FILES.items() if not name.endswith(missing)}
    with pytest.raises(backend.BuildError, match="no detectron2 package with a LICENSE"):
        backend.keep_python_files(files)


def test_compiled_files_never_enter_the_wheel(backend, tmp_path):
    with pytest.raises(backend.BuildError, match=r"pure-Python wheel: \['detectron2/_C\.so'\]"):
        backend.write_wheel(tmp_path / "a.whl", {"detectron2/_C.so": b""})


def test_a_failed_download_says_what_to_do(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(backend.BuildError, match="set PIP_FIND_LINKS to that folder"):
        backend.fetch_source(tmp_path)
