"""The command split: files, table and errors."""

from __future__ import annotations

import json

import numpy as np

from mito_instance.cli import main
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.masks import rle

MASK = rle.encode(np.ones((2, 3), bool))


def write(folder, n_slices):
    path = folder / "truth.json"
    images = [
        ImageInstances(str(folder / "images" / f"{i:03d}.png"), (2, 3), (MASK,) * 2)
        for i in range(n_slices)
    ]
    write_coco(path, images)
    return path


def test_parts_table_and_relative_paths(tmp_path, capsys):
    path, output = write(tmp_path, 100), tmp_path / "split" / "deep"
    arguments = [str(path), "--by", "image", "--gap", "5", "--seed", "1", "-o", str(output)]
    assert main(["split", *arguments]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["part", "images", "instances", "share", "groups", "file"],
        ["train", "75", "150", "0.789", "75", str(output / "train.json")],
        ["val", "20", "40", "0.211", "20", str(output / "val.json")],
        ["left", "out", "5", "10"],
    ]
    assert not (output / "test.json").exists()
    document = json.loads((output / "val.json").read_text())
    assert document["images"][0]["file_name"].startswith("../../images/")
    assert document["info"]["gap"] == 5
    originals = {image.image for image in read_coco(path)}
    assert {image.image for image in read_coco(output / "val.json")} < originals
    before = (output / "train.json").read_bytes()
    assert main(["split", *arguments]) == 0
    assert (output / "train.json").read_bytes() == before


def test_one_stack_cannot_be_split_by_stacks(tmp_path, capsys):
    assert main(["split", str(write(tmp_path, 9)), "-o", str(tmp_path / "split")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 2 parts need as many groups, got 1 by stack (")
    assert f"here {tmp_path / 'images' / '#'}); give --by image --gap N" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "split").exists()


def test_one_folder_is_one_specimen(tmp_path, capsys):
    words = [str(write(tmp_path, 9)), "--by", "specimen", "-o", str(tmp_path / "split")]
    assert main(["split", *words]) == 2
    error = capsys.readouterr().err
    assert f"got 1 by specimen (a folder; here {tmp_path / 'images'}); give --group-regex" in error
    assert "'(mouse[0-9]+)' for what the names call specimens, or --by image --gap N" in error


def test_the_input_is_not_overwritten(tmp_path, capsys):
    path = write(tmp_path, 9).rename(tmp_path / "train.json")
    assert main(["split", str(path), "--by", "image", "--gap", "1", "-o", str(tmp_path)]) == 2
    assert "would be overwritten" in capsys.readouterr().err


def test_a_part_of_an_earlier_split_is_not_left_beside_this_one(tmp_path, capsys):
    path, output = write(tmp_path, 20), tmp_path / "split"
    words = [str(path), "--by", "image", "--gap", "0", "-o", str(output)]
    assert main(["split", *words, "--test", "0.2"]) == 0
    before = (output / "train.json").read_bytes()
    assert main(["split", *words, "--seed", "1"]) == 2
    assert "test.json: is of an earlier split, and would share images" in capsys.readouterr().err
    assert (output / "train.json").read_bytes() == before
    (output / "test.json").unlink()
    assert main(["split", *words, "--seed", "1"]) == 0
