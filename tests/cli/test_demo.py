"""``mito demo`` with stand-ins for the commands that it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from mito_instance import synthetic
from mito_instance.cli import demo

COUNTS = (
    "image,count,area_total_um2,area_mean_um2,area_fraction,status\n"
    "images/synthetic_000.tif,7,1.23456,0.17637,0.05,ok\n"
)


class Commands:
    """Records what the demo asked for and answers with fixed results."""

    def __init__(self) -> None:
        self.calls: dict[str, list[str]] = {}
        self.quantify_status = 0
        self.evaluate_status = 0

    def quantify(self, argv: list[str]) -> int:
        self.calls["quantify"] = list(argv)
        if self.quantify_status != 2:
            Path(argv[argv.index("--objects") + 1]).parent.mkdir(parents=True, exist_ok=True)
            Path(argv[argv.index("--objects") + 1]).write_text("image\n")
            sys.stdout.write(COUNTS)
        return self.quantify_status

    def evaluate(self, argv: list[str]) -> int:
        self.calls["evaluate"] = list(argv)
        sys.stdout.write("ap 0.9\n")
        return self.evaluate_status


@pytest.fixture
def commands(monkeypatch) -> Commands:
    stand_ins = Commands()
    for name in ("quantify", "evaluate"):
        module = ModuleType(f"mito_instance.cli.{name}")
        module.main = getattr(stand_ins, name)
        monkeypatch.setitem(sys.modules, f"mito_instance.cli.{name}", module)
    real = synthetic.write_dataset
    monkeypatch.setattr(
        synthetic,
        "write_dataset",
        lambda folder, n_images, seed: real(
            folder, n_images, seed, image_hw=(64, 64), pixel_size_nm=20.0
        ),
    )
    return stand_ins


def test_synthetic_images_are_counted_and_compared(commands, tmp_path, capsys):
    out = tmp_path / "out"
    assert demo.main(["-o", str(out), "--n-images", "2", "--seed", "3"]) == 0
    quantified = commands.calls["quantify"]
    assert quantified[:2] == [str(out / "images" / f"synthetic_00{k}.tif") for k in (0, 1)]
    assert all(Path(path).exists() for path in quantified[:2])
    assert commands.calls["evaluate"] == [
        str(out / "images" / "truth.json"),
        str(out / "pred.json"),
        "-o",
        str(out / "evaluation"),
    ]
    assert (out / "counts.csv").read_text() == COUNTS
    printed = capsys.readouterr()
    assert "synthetic_000.tif      7" in printed.out
    assert "1.235" in printed.out
    assert f"{out / 'counts.csv'}" in printed.out
    assert f"{out / 'objects.csv'}" in printed.out
    assert "overlays" not in printed.out  # the stand-in drew none
    assert "drawing 2 synthetic micrographs" in printed.err


def test_own_images_are_not_compared(commands, tmp_path, capsys):
    assert demo.main(["--images", "a.tif", "b", "-o", str(tmp_path)]) == 0
    assert commands.calls["quantify"][:2] == ["a.tif", "b"]
    assert "evaluate" not in commands.calls
    assert not (tmp_path / "images").exists()
    assert "truth" not in capsys.readouterr().out


def test_one_seed_draws_the_same_images(commands, tmp_path):
    for name in ("a", "b"):
        demo.main(["-o", str(tmp_path / name), "--n-images", "1", "--seed", "9"])
    first, second = (tmp_path / name / "images" / "synthetic_000.tif" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_image_is_passed_on_as_1(commands, tmp_path):
    commands.quantify_status = 1
    assert demo.main(["-o", str(tmp_path), "--n-images", "1"]) == 1
    assert "evaluate" in commands.calls


def test_nothing_quantified_ends_with_2(commands, tmp_path):
    commands.quantify_status = 2
    assert demo.main(["-o", str(tmp_path), "--n-images", "1"]) == 2
    assert not (tmp_path / "counts.csv").exists()
    assert "evaluate" not in commands.calls


def test_a_failed_comparison_ends_with_2(commands, tmp_path):
    commands.evaluate_status = 2
    assert demo.main(["-o", str(tmp_path), "--n-images", "1"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--n-images", "0"], "--n-images: must be in [1, 1000], got 0", id="none"),
        pytest.param(["--seed", "-1"], "seed must be >= 0, got -1", id="seed"),
    ],
)
def test_bad_values_are_one_error_line(commands, tmp_path, capsys, arguments, message):
    assert demo.main(["-o", str(tmp_path), *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


@pytest.mark.parametrize("name", ["cell_01.tif", "truth.json"])
def test_images_of_a_user_are_not_mixed_with_those_drawn(commands, tmp_path, capsys, name):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / name).write_bytes(b"mine")
    assert demo.main(["-o", str(tmp_path)]) == 2
    assert f"other files than the demonstration's ({name})" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "images").iterdir()] == [name]


def test_a_demonstration_can_be_made_again(commands, tmp_path):
    for _ in range(2):
        assert demo.main(["-o", str(tmp_path), "--n-images", "1"]) == 0
        (tmp_path / "images" / ".DS_Store").touch()
        (tmp_path / "images" / "Thumbs.db").touch()


def test_output_that_is_a_file_is_refused(commands, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert demo.main(["-o", str(tmp_path / "out")]) == 2
    assert "output must be a folder" in capsys.readouterr().err


def test_usage_errors_are_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--n-images", "many"])
    err = capsys.readouterr().err
    assert err.startswith("error: argument --n-images")
    assert err.count("\n") == 1


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit, match="0"):
        demo.main(["--help"])
    assert "mito demo -o demo" in capsys.readouterr().out
