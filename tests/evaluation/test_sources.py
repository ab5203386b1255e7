"""Truths and predictions of every kind, and the regions where they count."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image

from mito_instance.errors import AnnotationError, ConfigError, MitoInstanceError
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.evaluation.regions import read_regions
from mito_instance.evaluation.sources import named_like, read_source
from mito_instance.evaluation.volume import label_pages
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import write_coco
from mito_instance.masks import rle

HW = (30, 40)
BOXES = [(2, 3, 8, 6), (20, 10, 10, 12)]


def labels(values=(7, 4000)):
    """A label image of the boxes, whose ids are neither consecutive nor sorted by place."""
    image = np.zeros(HW, dtype=np.uint16)
    for value, (x, y, w, h) in zip(values, BOXES, strict=True):
        image[y : y + h, x : x + w] = value
    return image


def masks(boxes=BOXES):
    return tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)


def write_rois(path, boxes=BOXES):
    """A zip of rectangles as ImageJ's ROI Manager saves it."""
    rois = [
        roifile.ImagejRoi.frompoints([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], name=f"{i}")
        for i, (x, y, w, h) in enumerate(boxes)
    ]
    roifile.roiwrite(path, rois, mode="w")


@pytest.fixture
def files(tmp_path):
    """The same instances of two images as COCO JSON, label images, a stack and ROI zips."""
    for folder in ("images", "labels", "rois"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", np.zeros(HW, dtype=np.uint8))
        tifffile.imwrite(tmp_path / "labels" / f"{name}_labels.tif", labels())
        write_rois(tmp_path / "rois" / f"{name}.zip")
    write_coco(
        tmp_path / "truth.json",
        [ImageInstances(str(tmp_path / "images" / f"{n}.tif"), HW, masks()) for n in "ab"],
    )
    tifffile.imwrite(
        tmp_path / "stack.tif", np.stack([labels(), labels((9, 3))]), photometric="minisblack"
    )
    return tmp_path


@pytest.mark.parametrize("kind", ["labels", "rois"])
def test_every_kind_holds_the_same_instances(files, kind):
    source = read_source(files / kind, files / "images")
    assert source.names_pictures
    truth = read_source(files / "truth.json")
    summary = evaluate(truth.images, source.images).summary()
    assert (summary["n_images"], summary["n_true"], summary["pq"], summary["ap"]) == (2, 4, 1, 1)


def test_hidden_files_do_not_make_labels_rois(files):
    (files / "labels" / "._a.zip").write_bytes(b"\0\5\x16\7")
    assert len(read_source(files / "labels").images) == 2


def test_labels_without_images_have_their_own_names(files):
    source = read_source(files / "labels")
    assert [image.image for image in source.images] == [
        str(files / "labels" / f"{name}_labels.tif") for name in "ab"
    ]
    assert not source.names_pictures


def test_a_stack_has_one_label_image_a_page(files):
    source = read_source(files / "stack.tif")
    assert [(image.frame, len(image)) for image in source.images] == [(0, 2), (1, 2)]


def test_two_single_label_files_are_a_pair(files):
    tifffile.imwrite(files / "other.tif", np.stack([labels()] * 2), photometric="minisblack")
    truth, pred = read_source(files / "stack.tif"), read_source(files / "other.tif")
    paired = named_like(pred, truth)
    assert evaluate(truth.images, paired.images).summary()["n_one_to_one"] == 4
    folder = read_source(files / "labels")
    assert named_like(folder, truth) is folder
    assert named_like(pred, folder) is pred


def test_rois_need_images(files):
    with pytest.raises(ConfigError, match=r"rois: ImageJ ROIs do not say .* --images"):
        read_source(files / "rois")


def test_a_bad_file_among_others_is_named(files):
    (files / "labels" / "c.tif").write_bytes(b"II*\0broken")
    source = read_source(files / "labels")
    assert len(source.images) == 2
    assert len(source.failures) == 1
    assert "c.tif" in source.failures[0]


def test_a_label_image_without_image_is_named(files):
    tifffile.imwrite(files / "labels" / "z.tif", labels())
    source = read_source(files / "labels", files / "images")
    assert len(source.images) == 2
    (failure,) = source.failures
    assert failure.startswith(f"{files / 'labels' / 'z.tif'}: no image has this name")


def test_jpeg_is_no_label_image(files):
    (files / "one").mkdir()
    (files / "one" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(AnnotationError, match=r"a.jpg: JPEG changes the values"):
        read_source(files / "one")


def test_a_tiff_page_compressed_as_jpeg_is_none_either(files):
    tifffile.imwrite(files / "a.tif", labels((80, 200)).astype(np.uint8), compression="jpeg")
    with pytest.raises(AnnotationError, match=r"a.tif: JPEG changes the values"):
        read_source(files / "a.tif")


TOUCHING = np.zeros((12, 12), np.uint8)
TOUCHING[1:5, 1:9], TOUCHING[5:11, 1:9], TOUCHING[3:9, 9:] = 1, 2, 3
# Red and green are equally bright, so that as grey the first two labels would be one.
EQUALLY_BRIGHT = np.array([[0, 0, 0], [255, 0, 0], [0, 130, 0], [0, 0, 255]], np.uint8)


@pytest.mark.parametrize("kind", ["palette", "colours", "tiff-palette", "tiff-colours"])
def test_colours_of_labels_are_told_apart(tmp_path, kind):
    path = tmp_path / ("a.tif" if kind.startswith("tiff") else "a.png")
    if kind == "palette":
        image = Image.fromarray(TOUCHING, mode="P")
        image.putpalette([*EQUALLY_BRIGHT.ravel().tolist()])
        image.save(path)
    elif kind == "tiff-palette":
        table = np.zeros((3, 256), np.uint16)
        table[:, :4] = EQUALLY_BRIGHT.T.astype(np.uint16) * 257
        tifffile.imwrite(path, TOUCHING, photometric="palette", colormap=table)
    elif kind == "colours":
        Image.fromarray(EQUALLY_BRIGHT[TOUCHING]).save(path)
    else:
        tifffile.imwrite(path, EQUALLY_BRIGHT[TOUCHING], photometric="rgb", compression="lzw")
    (image,) = read_source(path).images
    assert sorted(rle.area_px(mask) for mask in image.masks) == [18, 32, 48]
    if "palette" in kind:
        (page,) = label_pages(path, [])
        assert np.array_equal(page, TOUCHING)
    else:
        with pytest.raises(AnnotationError, match=r"labels of a volume must be integers, got col"):
            list(label_pages(path, []))


def save_inverting(path, mask):
    """A mask as ImageJ saves it under an inverting lookup table: its objects look black."""
    if path.suffix == ".png":
        image = Image.fromarray(mask, mode="P")
        image.putpalette([grey for grey in range(255, -1, -1) for _ in range(3)])
        image.save(path)
    elif path.stem == "palette":
        table = np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))
        tifffile.imwrite(path, mask, photometric="palette", colormap=table)
    else:
        tifffile.imwrite(path, mask, photometric="miniswhite")


INVERTING = pytest.mark.parametrize("name", ["white.tif", "palette.tif", "palette.png"])


@INVERTING
@pytest.mark.parametrize("values", [(255, 255), (7, 200)])
def test_labels_under_an_inverting_lookup_table_are_those_that_are_stored(tmp_path, name, values):
    save_inverting(tmp_path / name, labels(values).astype(np.uint8))
    source = read_source(tmp_path / name)
    assert source.images[0].masks == masks()
    assert "background" not in " ".join(source.notices)
    (page,) = label_pages(tmp_path / name, [])
    assert np.array_equal(page, labels(values))


@INVERTING
def test_a_region_under_an_inverting_lookup_table_is_what_imagej_selects(files, name):
    x, y, width, height = LEFT_HALF
    pixels = np.zeros(HW, dtype=np.uint8)
    pixels[y : y + height, x : x + width] = 255
    save_inverting(files / name, pixels)
    regions, _ = read_regions(files / name, read_source(files / "truth.json").images)
    assert {rle.box_xywh(region) for region in regions.values()} == {LEFT_HALF}


@pytest.mark.parametrize("kind", ["colours-on-white", "from-1", "stack"])
def test_where_no_label_is_0_the_surrounding_one_is_background(tmp_path, kind):
    path, found = tmp_path / "a.tif", labels((2, 3)).astype(np.uint8)
    if kind == "colours-on-white":
        colours = np.array([[255] * 3, [9] * 3, [0, 0, 130], [0, 130, 0]], np.uint8)
        tifffile.imwrite(path, colours[found], photometric="rgb")
    else:
        found = np.where(found == 0, np.uint8(1), found)
        pages = np.stack([found] * 2) if kind == "stack" else found
        tifffile.imwrite(path, pages, photometric="minisblack")
    source = read_source(path)
    assert all(image.masks == masks() for image in source.images)
    where = f"{path} page 1 and 1 more pages" if kind == "stack" else f"{path}"
    assert source.notices == (
        f"{where}: no pixel is 0; the value that surrounds the rest is background",
    )


def test_where_nothing_surrounds_the_rest_every_label_is_an_instance(tmp_path):
    halves = np.ones(HW, np.uint8)
    halves[:, 20:] = 2
    tifffile.imwrite(tmp_path / "a.tif", halves)
    source = read_source(tmp_path / "a.tif")
    assert (len(source.images[0]), source.notices) == (2, ())


def test_label_images_keep_their_pixel_size(tmp_path):
    path = tmp_path / "a.tif"
    resolution = {"resolution": (200, 200), "metadata": {"unit": "um"}}
    tifffile.imwrite(path, labels(), imagej=True, **resolution)
    (image,) = read_source(path).images
    assert image.pixel_size.nm == pytest.approx(5)


def test_label_images_have_the_pixel_size_of_their_micrographs(tmp_path):
    for folder, pixels, resolution in (
        ("labels", labels(), {}),
        ("images", labels(), {"resolution": (200, 200), "metadata": {"unit": "um"}}),
    ):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", pixels, imagej=True, **resolution)
    (image,) = read_source(tmp_path / "labels", tmp_path / "images").images
    assert image.pixel_size.nm == pytest.approx(5)


def test_label_images_of_another_size_do_not_take_the_pixel_size(tmp_path):
    """They were drawn on a copy of half the size, say."""
    for folder, pixels in (("labels", labels()), ("images", np.kron(labels(), np.ones((2, 2))))):
        (tmp_path / folder).mkdir()
        unit = {"resolution": (200, 200), "metadata": {"unit": "um"}} if folder == "images" else {}
        path = tmp_path / folder / "a.tif"
        tifffile.imwrite(path, pixels.astype(np.uint16), imagej=True, **unit)
    source = read_source(tmp_path / "labels", tmp_path / "images")
    assert source.images[0].pixel_size is None
    assert [line for line in source.notices if "does not take its pixel size of 5 nm" in line]


def test_rois_in_a_folder_below_label_images_are_not_read(files):
    (files / "labels" / "old").mkdir()
    write_rois(files / "labels" / "old" / "a.zip", BOXES[:1])
    source = read_source(files / "labels", files / "images")
    assert [len(image) for image in source.images] == [2, 2]
    assert "its label images are read, and not the ROIs in folders below" in source.notices[0]


def test_label_images_with_rois_below_need_no_micrographs(files):
    (files / "labels" / "old").mkdir()
    write_rois(files / "labels" / "old" / "a.zip", BOXES[:1])
    assert [len(image) for image in read_source(files / "labels").images] == [2, 2]


def test_micrographs_with_rois_below_say_what_is_missing(files):
    shutil.move(files / "rois", files / "images" / "rois")
    for path in (files / "images").glob("*.tif"):
        noise = np.random.default_rng(0).integers(1, 256, (90, 120), dtype=np.uint8)
        tifffile.imwrite(path, noise)
    with pytest.raises(MitoInstanceError, match="give the images by --images"):
        read_source(files / "images")


@pytest.mark.parametrize("images", ["a.tif", "*.tif"])
def test_micrographs_above_their_rois_are_no_label_images(files, images):
    for name in "ab":
        shutil.copy(files / "images" / f"{name}.tif", files / "labels")
    for file in (files / "labels").glob("*_labels.tif"):
        file.unlink()
    shutil.move(files / "rois", files / "labels" / "rois")
    source = read_source(files / "labels", files / "labels" / images)
    assert len(source.images[0]) == 2
    assert source.names_pictures


@pytest.mark.parametrize("images", ["images", "rois"])
def test_images_beside_rois_are_not_label_images(files, images):
    for name in "ab":
        (files / "rois" / f"{name}.tif").write_bytes(
            (files / "images" / f"{name}.tif").read_bytes()
        )
    source = read_source(files / "rois", files / images)
    assert [len(image) for image in source.images] == [2, 2]
    assert ("holds images as well; its ROIs are read" in "".join(source.notices)) == (
        images == "images"
    )


def test_a_micrograph_is_no_label_image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(AnnotationError, match="looks like a micrograph"):
        read_source(tmp_path / "a.tif")


def test_specks_on_an_empty_page_are_labels(tmp_path):
    specks = np.zeros((60, 60), np.uint8)
    specks[::9, ::9].flat = np.arange(1, 50)
    tifffile.imwrite(tmp_path / "a.tif", specks)
    (image,) = read_source(tmp_path / "a.tif").images
    assert len(image) == 49


def test_a_results_list_needs_the_json_of_its_truth(files):
    (files / "results.json").write_text("[]")
    with pytest.raises(ConfigError, match="results list names no images"):
        read_source(files / "results.json", truth=files / "labels")


LEFT_HALF = (0, 0, 20, 30)


@pytest.mark.parametrize("kind", ["zip", "mask", "folder"])
def test_instances_count_where_half_of_them_is_annotated(files, kind):
    region = files / {"zip": "left.zip", "mask": "left.png", "folder": "regions"}[kind]
    if kind == "zip":
        write_rois(region, [LEFT_HALF])
    else:
        if kind == "folder":
            region.mkdir()
        pixels = np.zeros(HW, dtype=np.uint8)
        pixels[:, :20] = 255
        names = ["a.png", "b.png"] if kind == "folder" else [""]
        for name in names:
            tifffile.imwrite(region / name if name else region, pixels)
    truth = read_source(files / "truth.json").images
    regions, without = read_regions(region, truth)
    assert without == []
    # Half of the first lies inside; of the second less; the third is a false one outside.
    boxes = [(2, 3, 8, 6), (16, 20, 8, 5), (17, 2, 8, 5), (30, 2, 5, 5)]
    pred = [ImageInstances(image.image, HW, masks(boxes)) for image in truth]
    metrics = evaluate(truth, pred, regions=regions)
    summary = metrics.summary()
    assert (summary["n_true"], summary["n_pred"], summary["n_one_to_one"]) == (2, 4, 2)
    # Pixels are cut at the region: 4 columns of the second and 3 of the third are inside.
    assert summary["iou_foreground"] == pytest.approx(48 / (48 + 20 + 15))
    assert metrics.images[0].considered_px == 600


@pytest.mark.parametrize("kind", ["zip", "png"])
@pytest.mark.parametrize("others", [(), ("z",)])
def test_an_image_without_region_is_not_scored(files, kind, others):
    """Also where the folder holds a single file: that is for the image of its name alone."""
    (files / "regions").mkdir()
    for name in ("a", *others):
        path = files / "regions" / f"{name}.{kind}"
        if kind == "zip":
            write_rois(path, [LEFT_HALF])
        else:
            Image.fromarray(np.full(HW, 255, np.uint8)).save(path)
    regions, without = read_regions(files / "regions", read_source(files / "truth.json").images)
    assert list(regions) == [(str(files / "images" / "a.tif"), 0)]
    (line,) = without
    assert line.endswith("regions has the name of this image; not scored")
    assert line.startswith(str(files / "images" / "b.tif"))


@pytest.mark.parametrize("kind", ["roi", "mask"])
def test_a_single_image_takes_the_single_file_of_a_folder(files, kind):
    (files / "regions").mkdir()
    if kind == "roi":
        write_rois(files / "regions" / "tuesday.zip", [LEFT_HALF])
    else:
        tifffile.imwrite(files / "regions" / "tuesday.tif", np.ones(HW, np.uint8))
    truth = read_source(files / "truth.json").images[:1]
    assert read_regions(files / "regions", truth)[1] == []


def test_a_region_without_pixels_is_not_scored(files):
    pages = np.zeros((2, *HW), dtype=np.uint8)
    pages[1] = 255
    tifffile.imwrite(files / "half.tif", pages, photometric="minisblack")
    truth = read_source(files / "stack.tif").images
    regions, without = read_regions(files / "half.tif", truth)
    assert list(regions) == [(str(files / "stack.tif"), 1)]
    assert without == [
        f"{files / 'half.tif'}: the region has no pixel on page 1 of {files / 'stack.tif'}; "
        "not scored"
    ]
    tifffile.imwrite(files / "empty.tif", np.zeros(HW, dtype=np.uint8))
    with pytest.raises(AnnotationError, match=r"no image of the truth has a region there; .*pixel"):
        read_regions(files / "empty.tif", truth)


def test_an_outline_outside_one_image_leaves_the_others(files):
    (files / "regions").mkdir()
    write_rois(files / "regions" / "a.zip", [LEFT_HALF])
    write_rois(files / "regions" / "b.zip", [(100, 100, 5, 5)])
    regions, without = read_regions(files / "regions", read_source(files / "truth.json").images)
    assert len(regions) == 1
    (line,) = without
    assert "b.zip" in line
    assert "lies outside its image" in line


def positioned(path, positions):
    rois = []
    for number, position in enumerate(positions):
        x = 10 * number
        corners = [(x, 0), (x + 10, 0), (x + 10, 30), (x, 30)]
        rois.append(roifile.ImagejRoi.frompoints(corners, name=f"{number}"))
        rois[-1].position = position
    roifile.roiwrite(path, rois, mode="w")


def test_a_single_image_has_one_page_whatever_its_outlines_say(files):
    positioned(files / "r.zip", [3])
    truth = read_source(files / "truth.json").images
    regions, without = read_regions(files / "r.zip", truth)
    assert without == []
    assert [rle.area_px(region) for region in regions.values()] == [300, 300]


@pytest.mark.parametrize("is_there", [True, False])
def test_outlines_of_a_stack_hold_for_their_page(files, is_there):
    positioned(files / "r.zip", [0, 2] if is_there else [0, 2, 9])
    truth = read_source(files / "stack.tif").images
    if not is_there:  # then nobody knows how many pages it has
        (files / "stack.tif").unlink()
    regions, without = read_regions(files / "r.zip", truth)
    assert without == []
    assert [rle.area_px(region) for region in regions.values()] == [300, 600]


def test_an_overlay_of_a_tiff_is_a_region(files):
    roi = roifile.ImagejRoi.frompoints([(0, 0), (20, 0), (20, 30), (0, 30)])
    metadata = {"Overlays": [roi.tobytes()]}
    tifffile.imwrite(files / "o.tif", np.zeros(HW, np.uint8), imagej=True, metadata=metadata)
    regions, without = read_regions(files / "o.tif", read_source(files / "truth.json").images)
    assert (len(regions), without) == (2, [])


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_selection_left_on_a_mask_is_not_its_region(files, is_folder):
    selection = roifile.ImagejRoi.frompoints([(0, 0), (5, 0), (5, 5), (0, 5)]).tobytes()
    mask = np.zeros(HW, np.uint8)
    mask[:, :25] = 255
    (files / "regions").mkdir()
    path = files / "regions" / "a.tif"
    tifffile.imwrite(path, mask, imagej=True, metadata={"ROI": selection})
    truth = read_source(files / "truth.json").images[:1]
    regions, without = read_regions(files / "regions" if is_folder else path, truth)
    assert without == []
    assert [rle.area_px(region) for region in regions.values()] == [25 * HW[0]]


@pytest.mark.parametrize("n_blank", [0, 1])
@pytest.mark.parametrize("others", ["none", "blank", "white"])
def test_a_blank_page_or_file_beside_masks_is_one_of_them(files, n_blank, others):
    selection = roifile.ImagejRoi.frompoints([(0, 0), (5, 0), (5, 5), (0, 5)]).tobytes()
    mask = np.zeros(HW, np.uint8)
    mask[:, :25] = 255
    (files / "regions").mkdir()
    pages = np.stack([mask] * 2) if n_blank == 0 else np.stack([0 * mask, mask])
    keys = {"imagej": True, "metadata": {"ROI": selection}}
    tifffile.imwrite(files / "regions" / "a.tif", pages, **keys)
    if others != "none":
        grey = np.full(HW, 255 if others == "white" else 0, np.uint8)
        tifffile.imwrite(files / "regions" / "b.tif", grey, **keys)
    image = str(files / "images" / "a.tif")
    truth = [ImageInstances(image, HW, frame=1)]
    regions, _ = read_regions(files / "regions", truth)
    assert [rle.area_px(region) for region in regions.values()] == [25 * HW[0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_selection_on_a_micrograph_is_a_region(files, dtype):
    selection = roifile.ImagejRoi.frompoints([(0, 0), (5, 0), (5, 5), (0, 5)]).tobytes()
    noise = np.random.default_rng(0).uniform(30, 220, HW).astype(dtype)
    tifffile.imwrite(files / "m.tif", noise, imagej=True, metadata={"ROI": selection})
    regions, _ = read_regions(files / "m.tif", read_source(files / "truth.json").images[:1])
    assert [rle.area_px(region) for region in regions.values()] == [25]


def test_a_region_of_another_image_of_the_series_is_not_taken(files):
    (files / "regions").mkdir()
    (files / "images" / "cell_2.tif").write_bytes((files / "images" / "a.tif").read_bytes())
    write_coco(files / "one.json", [ImageInstances(str(files / "images" / "cell_2.tif"), HW)])
    tifffile.imwrite(files / "regions" / "cell_1.tif", np.ones(HW, np.uint8))
    with pytest.raises(AnnotationError, match="no image of the truth has a region there"):
        read_regions(files / "regions", read_source(files / "one.json").images)


def test_soft_edges_read_as_labels_are_said(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    mask[9, 10:30] = 90
    Image.fromarray(mask).save(tmp_path / "soft.png")
    assert any("binary mask with soft edges" in line for line in read_source(tmp_path).notices)
    Image.fromarray(np.where(mask == 255, 2, mask // 90)).save(tmp_path / "soft.png")
    assert not any("soft edges" in line for line in read_source(tmp_path).notices)


def test_of_two_images_that_bear_one_name_none_takes_the_file_at_hand(files):
    paths = [str(files / folder / "a.tif") for folder in ("wt", "ko")]
    write_coco(files / "two.json", [ImageInstances(path, HW, masks()) for path in paths])
    found = read_source(files / "two.json", files / "images").images
    assert [image.image for image in found] == paths


def test_a_region_must_fit_its_image(files):
    tifffile.imwrite(files / "small.tif", np.ones((5, 6), dtype=np.uint8))
    with pytest.raises(AnnotationError, match=r"small.tif: the region is 6 x 5 px but .* 40 x 30"):
        read_regions(files / "small.tif", read_source(files / "truth.json").images)
    with pytest.raises(AnnotationError, match=r"none.zip: no such file"):
        read_regions(files / "none.zip", read_source(files / "truth.json").images)


@pytest.fixture
def stack(files):
    """A stack of three pages and a truth that lists two of them."""
    (files / "stacks").mkdir()
    path = files / "stacks" / "s.tif"
    tifffile.imwrite(path, np.zeros((3, *HW), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    return path, [ImageInstances(str(path), HW, masks(), frame=frame) for frame in (0, 2)]


def test_a_predicted_page_without_rois_is_scored_where_the_truth_has_it(files, stack):
    path, truth = stack
    positioned(files / "s.zip", [3])
    pred = read_source(files / "s.zip", path, files / "truth.json", truth)
    assert [(image.frame, len(image)) for image in pred.images] == [(0, 0), (2, 1)]
    assert f"{path}: 1 pages carry no ROI; nothing was found there" in pred.notices
    metrics = evaluate(truth, pred.images)
    assert metrics.unpaired_pred == ()
    assert (metrics.summary()["n_images"], metrics.summary()["n_true"]) == (2, 4)
    of_truth = read_source(files / "s.zip", path)
    assert [image.frame for image in of_truth.images] == [2]


def test_an_empty_zip_of_a_stack_is_a_prediction_of_nothing(files, stack):
    path, truth = stack
    positioned(files / "s.zip", [])
    pred = read_source(files / "s.zip", path, files / "truth.json", truth)
    assert [(image.frame, len(image)) for image in pred.images] == [(0, 0), (2, 0)]


def test_a_page_whose_rois_may_have_failed_is_not_empty(files, stack):
    path, truth = stack
    positioned(files / "s.zip", [3, 9])
    pred = read_source(files / "s.zip", path, files / "truth.json", truth)
    assert [image.frame for image in pred.images] == [2]
    assert len(pred.failures) == 1
    assert pred.incomplete == {(str(path), 2)}


def test_a_page_of_another_image_of_the_same_name_is_not_listed(files, stack):
    path, truth = stack
    positioned(files / "s.zip", [3])
    other = replace(truth[0], image=str(files / "ko" / "s.tif"))
    pred = read_source(files / "s.zip", path, files / "truth.json", [other, truth[1]])
    assert [image.frame for image in pred.images] == [2]
    pred = read_source(files / "s.zip", path, files / "truth.json", [other])
    assert [image.frame for image in pred.images] == [0, 2]


def test_no_image_no_region(files):
    write_rois(files / "r.zip", [LEFT_HALF])
    assert read_regions(files / "r.zip", []) == ({}, [])


def test_what_two_regions_cut_in_half_counts_in_one(files):
    """As `mito quantify --region` has it: the first pixel of an exact half decides."""
    truth = read_source(files / "truth.json").images[:1]
    cut = [ImageInstances(truth[0].image, HW, masks([(16, 20, 8, 5)]))]
    found = []
    for x, width in ((0, 20), (20, HW[1] - 20)):
        region = rle.place(np.ones((HW[0], width), dtype=bool), x, 0, HW)
        regions = {(truth[0].image, truth[0].frame): region}
        found.append(evaluate(cut, cut, regions=regions).summary()["n_true"])
    assert found == [1, 0]


def test_a_page_that_lies_inside_a_label_keeps_it(tmp_path):
    pages = np.zeros((3, 12, 12), np.uint16)
    pages[[0, 2], 4:8, 4:8] = 5
    pages[1] = 5
    pages[1, 3:5, 3:5] = 6
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    source = read_source(tmp_path / "a.tif")
    assert [len(page) for page in source.images] == [1, 2, 1]
    assert source.notices == ()


def test_the_background_of_a_stack_without_0_is_one_for_all_pages(tmp_path):
    pages = np.ones((3, 12, 12), np.uint16)
    pages[:, 4:8, 4:8] = 5
    pages[1] = 5
    pages[1, 3:5, 3:5] = 1
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    source = read_source(tmp_path / "a.tif")
    assert [len(page) for page in source.images] == [1, 1, 1]
    assert "and 2 more pages: no pixel is 0" in source.notices[0]


def test_every_label_of_a_region_is_annotated(files):
    pixels = np.zeros(HW, dtype=np.uint8)
    pixels[:, :10], pixels[:, 10:20], pixels[:, 25:30] = 1, 2, 3
    tifffile.imwrite(files / "cells.png", pixels)
    truth = read_source(files / "truth.json").images
    regions, without = read_regions(files / "cells.png", truth)
    assert without == []
    assert all(rle.area_px(region) == 25 * HW[0] for region in regions.values())


def test_a_json_whose_images_have_moved_takes_those_that_are_given(files):
    document = (files / "truth.json").read_text().replace("images/", "elsewhere/")
    (files / "moved.json").write_text(document)
    found = read_source(files / "moved.json", files / "images").images
    assert [image.image for image in found] == [str(files / "images" / f"{n}.tif") for n in "ab"]
    found = read_source(files / "moved.json").images
    assert all("elsewhere" in image.image for image in found)
    if (files / "images" / "A.TIF").exists():
        return  # a file system that does not tell upper from lower case
    (files / "images" / "A.TIF").write_bytes(b"")
    found = read_source(files / "moved.json", files / "images").images
    assert "elsewhere" in found[0].image  # which of two it is nobody knows
    assert "images" in found[1].image


def test_the_background_of_a_labelled_region_may_be_1(files):
    pixels = np.ones(HW, dtype=np.uint8)
    pixels[4:8, 4:8], pixels[10:14, 20:26] = 2, 3
    tifffile.imwrite(files / "cells.png", pixels)
    regions, _ = read_regions(files / "cells.png", read_source(files / "truth.json").images)
    assert all(rle.area_px(region) == 16 + 24 for region in regions.values())
