"""Atomic output."""

import os
from pathlib import Path

import pytest

from mito_instance.errors import ConfigError
from mito_instance.io.files import atomic_path, make_folder, write_text_atomic


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_result_replaces_the_old_file(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["counts.csv"]


def test_failure_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_path(path) as temporary:
        temporary.write_text("half") and temporary.write_text(None)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["counts.csv"]


def test_block_that_writes_nothing_changes_nothing(tmp_path):
    with atomic_path(tmp_path / "nothing.csv"):
        pass
    assert names(tmp_path) == []


def test_folders_are_made(tmp_path):
    write_text_atomic(tmp_path / "a" / "b" / "ü.txt", "µm\n")
    assert (tmp_path / "a" / "b" / "ü.txt").read_bytes() == b"\xc2\xb5m\n"


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_text_atomic(tmp_path / "link.txt", "x")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "x"


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    write_text_atomic(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    read_end, write_end = os.pipe()
    write_text_atomic(Path(f"/dev/fd/{write_end}"), "rows")
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        assert stream.read() == "rows"


def test_output_that_is_a_folder(tmp_path):
    with pytest.raises(ConfigError, match="must be a file, but this is a folder"):
        write_text_atomic(tmp_path, "x")


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the output"):
        write_text_atomic(tmp_path / "file" / "out.csv", "x")


def test_full_disk_is_one_clear_line(tmp_path):
    path = tmp_path / "out.csv"
    message = r"out\.csv: cannot write the output \(No space"
    with pytest.raises(ConfigError, match=message), atomic_path(path):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def test_errors_of_other_files_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.csv"):
        (tmp_path / "missing").read_text()


def test_a_folder_is_made_with_its_parents(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigError, match=r"taken: cannot make this folder .*; choose another"):
        make_folder(tmp_path / "taken")
