import cv2
import numpy as np
import pytest

from mito_instance.errors import ConfigError
from mito_instance.visualize.contact_sheet import draw_sheet, write_sheet


def plain(height, width, level):
    return np.full((height, width, 3), level, dtype=np.uint8)


def test_every_picture_is_there_pixel_by_pixel():
    pictures = [plain(130, 150, level) for level in (10, 60, 110)]
    sheet = draw_sheet(pictures, ["a", "b", "c"], 2)
    for level in (10, 60, 110):
        assert int((sheet == level).all(2).sum()) >= 130 * 150
    rows = [np.flatnonzero((sheet == level).all(2).any(1))[0] for level in (10, 60, 110)]
    assert rows[0] == rows[1] < rows[2]


def test_a_large_picture_is_shrunk():
    sheet = draw_sheet([plain(800, 1600, 40)], ["a"], 1)
    assert sheet.shape[1] < 450
    assert int((sheet == 40).all(2).sum()) == 200 * 400


def test_captions_and_title_are_written_in_any_script():
    blank = draw_sheet([plain(130, 150, 255)], [""], 1)
    assert (blank == 255).all()
    for title, caption in (("mitochondria " * 9, ""), ("", "a" * 500), ("", "ミトコンドリア")):
        sheet = draw_sheet([plain(130, 150, 255)], [caption], 1, title)
        assert (sheet != 255).any()
        assert sheet.shape[1] == blank.shape[1]


def test_no_pictures_leave_the_title():
    assert (draw_sheet([], [], 3, "nothing") < 255).any()


@pytest.mark.parametrize("name", ["sheet.png", "deep/sheet.JPG"])
def test_a_sheet_is_written_in_the_format_of_its_name(tmp_path, name):
    write_sheet(tmp_path / name, plain(20, 30, 90))
    assert cv2.imread(str(tmp_path / name)).shape == (20, 30, 3)


@pytest.mark.parametrize("name", ["sheet.gif", "sheet"])
def test_another_format_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"sheet.*must end in one of .png, .jpg"):
        write_sheet(tmp_path / name, plain(20, 30, 90))
