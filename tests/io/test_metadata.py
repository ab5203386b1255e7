"""Pixel sizes of files, and the doubtful ones that stay unknown."""

import time

import numpy as np
import pytest
import tifffile

from mito_instance.calibration import PixelSize
from mito_instance.io.images import page_pixel_sizes, read_page
from mito_instance.io.length_units import unit_nm

PIXELS = np.zeros((8, 8), np.uint8)


def pixel_size(tmp_path, **options) -> PixelSize | None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **options)
    return read_page(tmp_path / "a.tif").pixel_size


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        ("nm", 1),
        ("um", 1e3),
        ("µm", 1e3),
        ("\u03bcm", 1e3),
        ("\\u00B5m", 1e3),
        ("&#181;m", 1e3),
        ("micron", 1e3),
        ("mm", 1e6),
        ("cm", 1e7),
        ("inch", 25.4e6),
        (" NM ", 1),
        ("Å", 0.1),
        ("pixel", None),
        ("pixels", None),
        ("", None),
        ("parsec", None),
    ],
)
def test_units(unit, nm):
    assert unit_nm(unit) == nm


@pytest.mark.parametrize(
    ("resolution", "unit", "nm"),
    [
        pytest.param((0.2, 0.2), "nm", 5, id="nm"),
        pytest.param((200, 200), "um", 5, id="um"),
        pytest.param((200, 200), "micron", 5, id="micron"),
        pytest.param((200, 200), "\\u00B5m", 5, id="escaped-micro-sign"),
        pytest.param((1 / 0.0043, 1 / 0.0043), "um", 4.3, id="reciprocal-is-rounded"),
        pytest.param((2e5, 2e5), "mm", 5, id="mm"),
        pytest.param((2e6, 2e6), "cm", 5, id="cm"),
        pytest.param((5.08e6, 5.08e6), "inch", 5, id="inch"),
        pytest.param((72, 72), "inch", None, id="inch-print-resolution"),
        pytest.param((200, 200), "pixel", None, id="pixel"),
        pytest.param((200, 200), "furlong", None, id="no-such-unit"),
        pytest.param((200, 200), "", None, id="no-unit"),
    ],
)
def test_imagej(tmp_path, resolution, unit, nm):
    metadata = {"unit": unit} if unit else {}
    found = pixel_size(tmp_path, imagej=True, resolution=resolution, metadata=metadata)
    assert found == (None if nm is None else PixelSize(nm, "imagej"))


def test_imagej_description_overrules_the_unit_tag(tmp_path):
    found = pixel_size(
        tmp_path,
        resolution=(200, 200),
        resolutionunit="CENTIMETER",
        description="ImageJ=1.53t\nunit=micron\n",
        metadata=None,
    )
    assert found == PixelSize(5, "imagej")


def test_imagej_units_that_differ_by_axis(tmp_path):
    found = pixel_size(
        tmp_path,
        resolution=(200, 0.2),
        description="ImageJ=1.53t\nunit=micron\nyunit=nm\n",
        metadata=None,
    )
    assert found == PixelSize(5, "imagej")


@pytest.mark.parametrize(
    ("metadata", "nm"),
    [
        pytest.param({"PhysicalSizeX": 0.005, "PhysicalSizeY": 0.005}, 5, id="default-is-um"),
        pytest.param(
            {
                "PhysicalSizeX": 4.5,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 4.5,
                "PhysicalSizeYUnit": "nm",
            },
            4.5,
            id="nm",
        ),
        pytest.param(
            {
                "PhysicalSizeX": 1,
                "PhysicalSizeXUnit": "pixel",
                "PhysicalSizeY": 1,
                "PhysicalSizeYUnit": "pixel",
            },
            None,
            id="pixel",
        ),
        pytest.param({}, None, id="none"),
    ],
)
def test_ome(tmp_path, metadata, nm):
    found = pixel_size(tmp_path, ome=True, metadata={"axes": "YX", **metadata})
    assert found == (None if nm is None else PixelSize(nm, "ome"))


def ome(*images, own="urn:uuid:1"):
    """A description; of each image the pixel size in nm and what says where its planes are."""
    pixels = "".join(
        f'<Image><Pixels PhysicalSizeX="{nm}" PhysicalSizeXUnit="nm" PhysicalSizeY="{nm}" '
        f'PhysicalSizeYUnit="nm">{planes}</Pixels></Image>'
        for nm, planes in images
    )
    return f'<?xml version="1.0"?><OME UUID="{own}">{pixels}</OME>'


def of_file(uuid, directory):
    return (
        f'<TiffData IFD="{directory}" PlaneCount="1">\n<UUID FileName="x.tif">urn:uuid:{uuid}'
        "</UUID></TiffData>"
    )


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param(
            [(5, '<TiffData IFD="0" PlaneCount="2"/>'), (20, '<TiffData IFD="2"/>')],
            [5, 5, 20],
            id="directories",
        ),
        pytest.param([(5, '<TiffData IFD="1"/>')], [5, 5, 5], id="one-image"),
        pytest.param([(5, ""), ("5.0", "")], [5, 5, 5], id="the-same-size"),
        pytest.param([(5, "<TiffData/>"), (20, "<TiffData/>")], [None] * 3, id="not-stated"),
        pytest.param([(5, ""), ("x", "")], [None] * 3, id="one-is-unknown"),
        pytest.param(
            [(5, '<TiffData IFD="0"/>'), (20, '<TiffData IFD="1"/>')],
            [5, 20, None],
            id="one-page-is-nobodys",
        ),
        pytest.param(
            [
                (5, of_file(2, 0) + of_file(2, 1)),
                (20, of_file(1, 0) + of_file(2, 2)),
                (10, of_file(1, 1) + of_file(1, 2)),
            ],
            [20, 10, 10],
            id="a-set-of-files",
        ),
    ],
)
def test_each_image_of_an_ome_tiff_has_its_own_size(tmp_path, caplog, images, expected):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for description in (ome(*images), None, None):
            tif.write(PIXELS, description=description, metadata=None)
    assert page_pixel_sizes(path) == [nm and PixelSize(nm, "ome") for nm in expected]
    is_doubtful = None in expected
    assert caplog.text.count("images of several pixel sizes (5 x 5 nm, ") == is_doubtful


def test_ome_images_as_tifffile_writes_them(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for size in (0.005, 0.02):
            metadata = {"axes": "ZYX", "PhysicalSizeX": size, "PhysicalSizeY": size}
            tif.write(np.stack([PIXELS] * 2), photometric="minisblack", metadata=metadata)
    assert [size.nm for size in page_pixel_sizes(path)] == [5, 5, 20, 20]


def test_ome_entities_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    pixels = '<Pixels PhysicalSizeX="&b;" PhysicalSizeY="5" PhysicalSizeXUnit="nm"/>'
    description = f'<?xml version="1.0"?>{bomb}<OME>{pixels}</OME>'
    assert pixel_size(tmp_path, description=description, metadata=None) is None


@pytest.mark.parametrize(
    ("resolution", "unit", "nm"),
    [
        pytest.param((2e6, 2e6), "CENTIMETER", 5, id="cm"),
        pytest.param((5.08e6, 5.08e6), "INCH", 5, id="inch"),
        pytest.param((300, 300), "INCH", None, id="300-dpi-is-a-print-resolution"),
        pytest.param((28.3, 28.3), "CENTIMETER", None, id="72-dpi-in-cm"),
        pytest.param((2e6, 2e6), "NONE", None, id="no-unit"),
    ],
)
def test_plain_tiff(tmp_path, resolution, unit, nm):
    found = pixel_size(tmp_path, resolution=resolution, resolutionunit=unit, metadata=None)
    assert found == (None if nm is None else PixelSize(nm, "tiff-resolution"))


def test_pixels_that_are_not_square_have_no_size(tmp_path, caplog):
    found = pixel_size(tmp_path, imagej=True, resolution=(200, 100), metadata={"unit": "um"})
    assert found is None
    assert "not square (5 x 10 nm)" in caplog.text


def test_one_percent_is_square_enough(tmp_path):
    found = pixel_size(tmp_path, imagej=True, resolution=(200, 201), metadata={"unit": "um"})
    assert found == PixelSize(4.98755, "imagej")  # its square is the area of a pixel


def test_impossible_size_is_unknown(tmp_path, caplog):
    assert pixel_size(tmp_path, imagej=True, resolution=(1, 1), metadata={"unit": "cm"}) is None
    found = pixel_size(tmp_path, imagej=True, resolution=(1e-4, 1e-4), metadata={"unit": "mm"})
    assert found is None
    assert "impossible" in caplog.text


@pytest.mark.parametrize("unit", ["inches", "centimeters", "centimetre"])
def test_print_resolutions_in_words_say_nothing(tmp_path, caplog, unit):
    assert pixel_size(tmp_path, imagej=True, resolution=(300, 300), metadata={"unit": unit}) is None
    assert not caplog.text


@pytest.mark.parametrize("form", ["ome", "imagej"])
def test_print_resolutions_that_a_program_converted_count_as_unknown(tmp_path, caplog, form):
    um = 352.7778  # 72 dpi
    if form == "ome":
        metadata = {"axes": "YX", "PhysicalSizeX": um, "PhysicalSizeY": um}
        assert pixel_size(tmp_path, ome=True, metadata=metadata) is None
    else:
        resolution = (1 / um, 1 / um)
        found = pixel_size(
            tmp_path, imagej=True, resolution=resolution, metadata={"unit": "micron"}
        )
        assert found is None
    assert "(72 dpi) is a print resolution; it counts as unknown" in caplog.text


def test_fei_tag_is_in_metres(tmp_path):
    text = "[Scan]\r\nPixelWidth=4.5e-009\r\nPixelHeight=4.5e-009\r\n"
    found = pixel_size(tmp_path, extratags=[(34682, 2, 0, text, True)], metadata=None)
    assert found == PixelSize(4.5, "fei")


def test_zeiss_tag_has_a_unit(tmp_path):
    text = "\r\n".join(["0"] * 3 + ["AP_IMAGE_PIXEL_SIZE", "Image Pixel Size = 4.961 nm", ""])
    found = pixel_size(tmp_path, extratags=[(34118, 2, 0, text, True)], metadata=None)
    assert found == PixelSize(4.961, "zeiss")


STEP = 0.00522874872557056


def fibics(image="<Width>8</Width><Height>8</Height>", units=' units="um"', **scan):
    """The tag of an Atlas export: steps in µm, width and height of the image."""
    values = scan or {"Ux": STEP, "Uy": 0, "Vx": 0, "Vy": -STEP}
    fields = "".join(
        f"<{name}{units if name.startswith('FOV') else ''}>{value}</{name}>"
        for name, value in values.items()
    )
    if not any(name.startswith("FOV") for name in values):
        fields = f"<FOV_X{units}>254.3</FOV_X>{fields}"
    return (
        '<?xml version="1.0"?>\r\n<Fibics version="1.2"><Application><Version>5</Version>'
        f"</Application><Image>{image}<OriginalWidth>0</OriginalWidth></Image>"
        f"<Scan>{fields}<ScanRot>0</ScanRot></Scan><Stage><X>1</X></Stage></Fibics>"
    )


TURNED = {"Ux": 0.004, "Uy": 0.003, "Vx": 0.003, "Vy": -0.004}


@pytest.mark.parametrize(
    ("text", "nm"),
    [
        pytest.param(fibics(), 5.22875, id="steps-in-um"),
        pytest.param(fibics(**TURNED), 5, id="a-turned-scan-has-the-length-of-its-step"),
        pytest.param(fibics(units=' units="nm"', Ux=5, Uy=0, Vx=0, Vy=5), 5, id="nm"),
        pytest.param(fibics(units="", **TURNED), 5, id="without-a-unit"),
        pytest.param(fibics(image="", **TURNED), 5, id="without-the-size-of-the-image"),
        pytest.param(fibics(FOV_X=0.04, FOV_Y=0.04), 5, id="field-of-view-by-pixels"),
        pytest.param(fibics(FOV_X=0.04), None, id="no-height-of-the-field"),
        pytest.param(fibics(Ux=STEP, Uy=0, Vx=0, Vy=0), None, id="no-step-down"),
        pytest.param(fibics(Ux="x", Uy=0, Vx=0, Vy=1), None, id="no-number"),
        pytest.param(fibics(units=' units="V"'), None, id="no-length"),
        pytest.param("<Other><Scan><Ux>1</Ux></Scan>", None, id="another-maker"),
        pytest.param("<Fibics><Scan><Ux>1", None, id="cut-off"),
    ],
)
def test_fibics_tag(tmp_path, text, nm):
    found = pixel_size(tmp_path, extratags=[(51023, 2, 0, text, True)], metadata=None)
    assert found == (None if nm is None else PixelSize(nm, "fibics"))


def test_fibics_tag_in_bytes(tmp_path):
    text = fibics(**TURNED).encode()
    found = pixel_size(tmp_path, extratags=[(51023, 7, len(text), text, True)], metadata=None)
    assert found == PixelSize(5, "fibics")


def test_fibics_tag_of_a_resized_copy(tmp_path, caplog):
    text = fibics(image="<Width>16</Width><Height>16</Height>")
    assert pixel_size(tmp_path, extratags=[(51023, 2, 0, text, True)], metadata=None) is None
    assert "an image of 16 x 16 px but this one has 8 x 8" in caplog.text


def test_places_that_disagree_are_named_once(tmp_path, caplog):
    options = {"resolution": (1e6, 1e6), "resolutionunit": "CENTIMETER", "metadata": None}
    found = pixel_size(tmp_path, extratags=[(51023, 2, 0, fibics(**TURNED), True)], **options)
    assert found == PixelSize(5, "fibics")
    assert "5 x 5 nm in one place (fibics) and 10 x 10 nm in another (tiff-resolution)" in (
        caplog.text
    )
    assert read_page(tmp_path / "a.tif").pixel_size == found
    assert caplog.text.count("in one place") == 1


@pytest.mark.parametrize("resolution", [2e6, 2.01e6, 28.3])
def test_places_that_agree_or_mean_print_are_no_news(tmp_path, caplog, resolution):
    options = {"resolution": (resolution,) * 2, "resolutionunit": "CENTIMETER", "metadata": None}
    found = pixel_size(tmp_path, extratags=[(51023, 2, 0, fibics(**TURNED), True)], **options)
    assert found == PixelSize(5, "fibics")
    assert not caplog.text


def test_a_maker_without_a_size_leaves_the_word_to_the_resolution(tmp_path):
    text = "[Scan]\r\nDwell=1e-6\r\n"
    options = {"resolution": (2e6, 2e6), "resolutionunit": "CENTIMETER", "metadata": None}
    found = pixel_size(tmp_path, extratags=[(34682, 2, 0, text, True)], **options)
    assert found == PixelSize(5, "tiff-resolution")


def test_plain_file_says_nothing(tmp_path):
    assert pixel_size(tmp_path) is None


@pytest.mark.parametrize(
    ("unit", "nm"),
    [("\\u00C5", 0.5), ("nanometers", 5.0), ("micrometers", 5000.0), ("\\u03BCm", 5000.0)],
)
def test_units_as_imagej_writes_them(tmp_path, unit, nm):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((8, 9), np.uint8), imagej=True, resolution=(0.2, 0.2),
        metadata={"unit": unit},
    )  # fmt: skip
    assert page_pixel_sizes(path)[0].nm == pytest.approx(nm)


def test_a_unit_that_nobody_knows_is_said(tmp_path, caplog):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((8, 9), np.uint8), imagej=True, resolution=(2, 2), metadata={"unit": "ell"}
    )
    assert page_pixel_sizes(path) == [None]
    assert "a.tif: its unit of length is 'ell', which is not known here" in caplog.text


def test_the_calibration_of_the_first_page_is_that_of_the_stack(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for number in range(3):
            calibrated = {"resolution": (2e6, 2e6), "resolutionunit": "CENTIMETER"}
            tif.write(np.zeros((8, 9), np.uint8), **(calibrated if number == 0 else {}))
        tif.write(np.zeros((4, 5), np.uint8))
    assert [size and size.nm for size in page_pixel_sizes(path)][:3] == [5.0] * 3


HOSTILE = ["<OME><Pixels " + "a" * 1_000_000, "<Fibics>" + "<Image>" * 100_000]


@pytest.mark.parametrize("text", HOSTILE, ids=["ome", "fibics"])
def test_hostile_descriptions_take_no_time(tmp_path, text):
    path = tmp_path / "a.tif"
    tags = [(51023, 2, 0, text, False)] if "Fibics" in text else []
    description = text + "></OME>" if "OME" in text else ""
    tifffile.imwrite(
        path, np.zeros((8, 9), np.uint8), description=description, extratags=tags, metadata=None
    )
    start = time.perf_counter()
    assert page_pixel_sizes(path) == [None]
    assert time.perf_counter() - start < 20
