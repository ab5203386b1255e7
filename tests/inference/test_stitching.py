import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.errors import ConfigError
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.stitching import detections_of, stitch
from mito_instance.inference.tiling import MIN_OVERLAP_PX, tiles_of
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.masks import rle


class Oracle:
    """Returns the truth inside each tile: its pixels are the labels of the objects."""

    score_threshold = 0.5
    pixel_size_nm = None
    tile_px = 128
    tile_overlap_px = 48

    def prepare(self, pixels):
        return pixels

    def predict(self, tiles, min_score=0.0):
        results = []
        for tile in tiles:
            masks = [rle.encode(tile == label) for label in np.unique(tile) if label]
            scores = np.linspace(0.9, 0.6, len(masks))
            found = ImageInstances("tile", tile.shape, tuple(masks), scores)
            results.append(found.select(scores >= min_score))
        return results


def page_of(labels, tmp_path):
    return Page(path=tmp_path / "page.png", frame=0, n_frames=1, pixels=labels, pixel_size=None)


def pixel_sets(instances):
    return sorted(sorted(map(tuple, np.argwhere(rle.decode(mask)))) for mask in instances.masks)


def truth_sets(labels):
    return sorted(
        sorted(map(tuple, np.argwhere(labels == label))) for label in np.unique(labels) if label
    )


def draw_scene(rng, height, width, n_objects, max_length):
    """Non-overlapping round and long objects, many of them touching."""
    labels = np.zeros((height, width), dtype=np.uint8)
    for label in range(1, n_objects + 1):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(4, max_length // 2)), int(rng.integers(4, 12)))
        shape = np.zeros_like(labels)
        cv2.ellipse(shape, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        free = (shape > 0) & (labels == 0)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(free.astype(np.uint8))
        if len(stats) > 1 and stats[1:, cv2.CC_STAT_AREA].max() >= 30:
            labels[parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()] = label
    return labels


def test_an_empty_page_has_no_instances(tmp_path):
    found = predict_page(Oracle(), page_of(np.zeros((300, 200), np.uint8), tmp_path))
    assert len(found) == 0
    assert found.image_hw == (300, 200)


def test_an_object_longer_than_the_overlap_is_joined_whole(tmp_path):
    labels = np.zeros((64, 900), dtype=np.uint8)
    labels[20:30, 5:890] = 1
    found = predict_page(Oracle(), page_of(labels, tmp_path), tile_px=128)
    assert pixel_sets(found) == truth_sets(labels)


def test_two_touching_objects_across_a_seam_stay_two(tmp_path):
    labels = np.zeros((100, 400), dtype=np.uint8)
    labels[30:40, 60:330] = 1
    labels[40:50, 60:330] = 2
    found = predict_page(Oracle(), page_of(labels, tmp_path), tile_px=128)
    assert pixel_sets(found) == truth_sets(labels)


def test_a_lower_score_twin_is_removed(tmp_path):
    class Stutterer(Oracle):
        def predict(self, tiles, min_score=0.0):
            (found,) = super().predict(tiles)
            twice = ImageInstances(
                "tile", found.image_hw, found.masks * 2, np.array([0.9, 0.8, 0.7, 0.6])
            )
            return [twice]

    labels = np.zeros((80, 80), dtype=np.uint8)
    labels[10:30, 10:30] = 1
    labels[10:30, 30:50] = 2
    found = predict_page(Stutterer(), page_of(labels, tmp_path))
    assert pixel_sets(found) == truth_sets(labels)
    assert found.scores.tolist() == [0.9, 0.8]


@pytest.mark.parametrize(
    ("categories", "inner_edge", "n_kept"),
    [
        pytest.param((1, 1), 20, 1, id="inside-of-its-own"),
        pytest.param((1, 2), 20, 2, id="inside-of-another"),
        pytest.param((1, 2), 38, 1, id="the-same-as-another"),
    ],
)
def test_objects_inside_others_of_another_category_stay(categories, inner_edge, n_kept):
    labels = np.zeros((64, 64), dtype=bool)
    outer, inner = labels.copy(), labels.copy()
    outer[10:50, 10:50], inner[11 : 11 + inner_edge, 11 : 11 + inner_edge] = True, True
    found = ImageInstances(
        "tile",
        (64, 64),
        (rle.encode(outer), rle.encode(inner)),
        np.array([0.9, 0.8]),
        category_ids=categories,
    )
    (tile,) = tiles_of((64, 64), 128, 40)
    kept = stitch(detections_of(found, tile, (64, 64)), ImageInstances("page", (64, 64)), [tile])
    assert kept.category_ids == categories[:n_kept]


@pytest.mark.parametrize(("shared_px", "n_kept"), [(9, 2), (10, 1)])
def test_of_two_that_share_half_of_the_smaller_the_better_stays(shared_px, n_kept):
    first, second = np.zeros((64, 64), dtype=bool), np.zeros((64, 64), dtype=bool)
    first[10:30, 5:30] = True
    second[10:30, 30 - shared_px : 50 - shared_px] = True
    masks = (rle.encode(second), rle.encode(first))
    found = ImageInstances("tile", (64, 64), masks, np.array([0.8, 0.9]))
    (tile,) = tiles_of((64, 64), 128, 40)
    kept = stitch(detections_of(found, tile, (64, 64)), ImageInstances("page", (64, 64)), [tile])
    assert kept.scores.tolist() == [0.9, 0.8][:n_kept]


def test_pieces_of_two_categories_are_not_joined():
    image_hw = (60, 200)
    tiles = tiles_of(image_hw, 128, 48)
    assert len(tiles) == 2
    across = np.zeros(image_hw, dtype=bool)
    across[20:40, 10:190] = True
    for second, n_found in ((1, 1), (2, 2)):
        parts = []
        for tile, category in zip(tiles, (1, second), strict=True):
            mask = rle.encode(across[tile.slices])
            size = (tile.height, tile.width)
            found = ImageInstances("tile", size, (mask,), np.ones(1), category_ids=(category,))
            parts += detections_of(found, tile, image_hw)
        assert len(stitch(parts, ImageInstances("page", image_hw), tiles)) == n_found


def test_where_tiles_disagree_on_the_category_the_object_stays():
    """Each tile sees the other as the one with the better view."""
    image_hw = (60, 208)
    tiles = tiles_of(image_hw, 128, 48)
    assert [tile.x for tile in tiles] == [0, 80]
    parts = []
    for tile, left, category in zip(tiles, (96, 95), (1, 2), strict=True):
        across = np.zeros(image_hw, dtype=bool)
        across[20:40, left : left + 17] = True
        mask = rle.encode(across[tile.slices])
        size = (tile.height, tile.width)
        found = ImageInstances("tile", size, (mask,), np.ones(1), category_ids=(category,))
        parts += detections_of(found, tile, image_hw)
    assert len(stitch(parts, ImageInstances("page", image_hw), tiles)) == 1


def test_a_piece_does_not_replace_the_whole_of_another_category():
    image_hw = (60, 208)
    tiles = tiles_of(image_hw, 128, 48)
    across = np.zeros(image_hw, dtype=bool)
    across[20:40, 90:140] = True  # cut by the first tile at 128
    parts = []
    for tile, category, score in zip(tiles, (1, 2), (0.9, 0.8), strict=True):
        mask = rle.encode(across[tile.slices])
        size = (tile.height, tile.width)
        found = ImageInstances("tile", size, (mask,), np.array([score]), category_ids=(category,))
        parts += detections_of(found, tile, image_hw)
    assert [part.complete for part in parts] == [False, True]
    (whole,) = stitch(parts, ImageInstances("page", image_hw), tiles).masks
    assert np.array_equal(rle.decode(whole), across)


def test_detections_under_the_threshold_are_no_instances(tmp_path):
    labels = np.zeros((80, 80), dtype=np.uint8)
    labels[10:30, 10:30] = 1
    assert len(predict_page(Oracle(), page_of(labels, tmp_path), score_threshold=0.95)) == 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
def test_the_result_does_not_depend_on_the_order_of_detections(order, tmp_path):
    from mito_instance.inference.stitching import detections_of, stitch

    labels = draw_scene(np.random.default_rng(5), 128, 300, 12, 60)
    tiles = tiles_of(labels.shape, 128, 40)
    parts = [
        detections_of(Oracle().predict([labels[tile.slices]])[0], tile, labels.shape)
        for tile in tiles
    ]
    image = ImageInstances("page", labels.shape)
    expected = stitch([d for part in parts for d in part], image, tiles)
    shuffled = stitch([d for number in order for d in parts[number]], image, tiles)
    assert pixel_sets(shuffled) == pixel_sets(expected)


class Borderline(Oracle):
    """Finds the truth, but what lies within 30 px of a tile's edge only by chance.

    Its tiles are of 256 px; 30 px are less than half of what neighbours share.
    """

    tile_px = 256
    tile_overlap_px = 100

    def __init__(self, rng, chance):
        self.rng, self.chance = rng, chance

    def predict(self, tiles, min_score=0.0):
        (found,) = super().predict(tiles, min_score)
        height, width = found.image_hw
        boxes = [rle.box_xywh(mask) for mask in found.masks]
        return [
            found.select([
                min(x, y, width - x - w, height - y - h) >= 30 or self.rng.random() < self.chance
                for x, y, w, h in boxes
            ])
        ]  # fmt: skip


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_tile_with_the_best_view_has_the_last_word(chance, tmp_path):
    labels = np.zeros((600, 800), dtype=np.uint8)
    for number in range(80):
        y, x = divmod(number, 10)
        cv2.circle(labels, (75 + 70 * x, 75 + 60 * y), 12, number + 1, -1)
    predictor = Borderline(np.random.default_rng(1), chance)
    found = predict_page(predictor, page_of(labels, tmp_path))
    assert pixel_sets(found) == truth_sets(labels)


def test_what_the_best_view_does_not_show_is_no_object(tmp_path):
    class Ghosts(Oracle):
        """Sees a ghost at the left edge of each tile but the first, and nothing else."""

        def predict(self, tiles, min_score=0.0):
            (tile,) = tiles
            ghost = rle.place(np.ones((20, 20), bool), 8, 30, tile.shape)
            masks = () if tile[0, 0] else (ghost,)
            return [ImageInstances("tile", tile.shape, masks, np.full(len(masks), 0.9))]

    labels = np.zeros((128, 600), dtype=np.uint8)
    labels[0, 0] = 1
    assert len(predict_page(Ghosts(), page_of(labels, tmp_path))) == 0


def add_nested(rng, labels):
    """Rings, some around an object of their own; what they lie on is gone or cut."""
    height, width = labels.shape
    label = int(labels.max())
    for _ in range(int(rng.integers(0, 4))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes, angle = rng.integers(16, 60, 2), float(rng.uniform(0, 180))
        label += 1
        for part, value in ((1.0, label), (0.6, 0), (0.35, label + 1)):
            size = tuple(int(part * axis) for axis in axes)
            cv2.ellipse(labels, centre, size, angle, 0, 360, value, -1)
        label += 1
    whole = np.zeros_like(labels)
    for number in range(1, label + 1):  # an object that is in pieces is its largest one
        _, parts, stats, _ = cv2.connectedComponentsWithStats((labels == number).astype(np.uint8))
        if len(stats) > 1 and stats[1:, cv2.CC_STAT_AREA].max() >= 30:
            whole[parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()] = number
    return whole


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), tile_px=st.integers(64, 300), data=st.data())
def test_tile_then_stitch_gives_the_original(seed, tile_px, data, tmp_path_factory):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(64, 400)), int(rng.integers(64, 400))
    labels = draw_scene(rng, height, width, int(rng.integers(0, 25)), 240)
    labels = add_nested(rng, labels)
    oracle = Oracle()
    oracle.tile_overlap_px = data.draw(st.integers(MIN_OVERLAP_PX, tile_px // 2), "overlap")
    page = page_of(labels, tmp_path_factory.getbasetemp())
    found = predict_page(oracle, page, tile_px=tile_px)
    assert pixel_sets(found) == truth_sets(labels)


def test_a_ring_around_an_object_across_seams(tmp_path):
    labels = np.zeros((300, 420), dtype=np.uint8)
    cv2.ellipse(labels, (210, 150), (190, 130), 0, 0, 360, 1, 12)
    cv2.ellipse(labels, (210, 150), (150, 90), 0, 0, 360, 2, -1)
    found = predict_page(Oracle(), page_of(labels, tmp_path), tile_px=128)
    assert pixel_sets(found) == truth_sets(labels)


PAGE_HW = (1500, 1500)
EDGE, START = 896, 604
"""Tiles of that page are 896 px wide and high and begin at 0 and 604."""


class Scripted(Oracle):
    """Finds given boxes in given tiles: {(x, y) of the tile: [(x0, y0, x1, y1, score)]}."""

    tile_px, tile_overlap_px = 1024, 256

    def __init__(self, script):
        tiles = tiles_of(PAGE_HW, self.tile_px, self.tile_overlap_px)
        assert {(tile.x, tile.width) for tile in tiles} == {(0, EDGE), (START, EDGE)}
        self.script = iter((tile, script.get((tile.x, tile.y), [])) for tile in tiles)

    def predict(self, tiles, min_score=0.0):
        results = []
        for pixels in tiles:
            tile, boxes = next(self.script)
            masks = []
            for x0, y0, x1, y1, _ in boxes:
                assert tile.x <= x0 < x1 <= tile.x + EDGE
                assert tile.y <= y0 < y1 <= tile.y + EDGE
                mask = np.ones((y1 - y0, x1 - x0), dtype=bool)
                masks.append(rle.place(mask, x0 - tile.x, y0 - tile.y, pixels.shape))
            scores = np.array([score for *_, score in boxes])
            results.append(ImageInstances("tile", pixels.shape, tuple(masks), scores))
        return results


def boxes_found(script, tmp_path):
    page = page_of(np.zeros(PAGE_HW, np.uint8), tmp_path)
    found = predict_page(Scripted(script), page, score_threshold=0.3)
    boxes = [rle.box_xywh(mask) for mask in found.masks]
    return [
        (x, y, x + width, y + height, round(score, 2))
        for (x, y, width, height), score in zip(boxes, found.scores.tolist(), strict=True)
    ]


@pytest.mark.parametrize("speck_x", [700, 1000])
def test_a_speck_inside_a_long_object_does_not_replace_it(speck_x, tmp_path):
    script = {
        (0, 0): [(300, 290, EDGE, 350, 0.95)],
        (START, 0): [(START, 290, 1200, 350, 0.95), (speck_x, 300, speck_x + 50, 345, 0.34)],
    }
    assert boxes_found(script, tmp_path) == [(300, 290, 1200, 350, 0.95)]


@pytest.mark.parametrize("score", [0.34, 0.93])
def test_two_in_one_at_a_seam_do_not_join_what_their_tile_shows_apart(score, tmp_path):
    upper, lower = (300, 290, EDGE, 350, 0.95), (300, 352, EDGE, 410, 0.94)
    script = {
        (0, 0): [upper, lower, (300, 290, EDGE, 410, score)],
        (START, 0): [(START, 290, 1200, 350, 0.95), (START, 352, 1200, 410, 0.94)],
    }
    expected = [(300, 290, 1200, 350, 0.95), (300, 352, 1200, 410, 0.94)]
    assert boxes_found(script, tmp_path) == expected


def test_a_better_speck_at_the_seam_does_not_take_the_long_one_from_its_tile(tmp_path):
    script = {
        (0, 0): [(300, 290, EDGE, 350, 0.9), (EDGE - 30, 300, EDGE, 340, 0.95)],
        (START, 0): [(START, 290, 1200, 350, 0.9)],
    }
    assert [box[:4] for box in boxes_found(script, tmp_path)] == [(300, 290, 1200, 350)]


def test_the_tip_of_a_neighbour_does_not_replace_a_piece(tmp_path):
    neighbour = (EDGE - 4, 330, 1000, 340, 0.9)  # the left tile sees 4 px of it
    script = {
        (0, 0): [(300, 290, EDGE, 336, 0.95)],
        (START, 0): [(START, 290, 1200, 330, 0.95), neighbour],
    }
    assert boxes_found(script, tmp_path) == [(300, 290, 1200, 336, 0.95), neighbour]


def test_a_neighbour_over_what_little_a_tile_sees_does_not_replace_a_piece(tmp_path):
    neighbour = (START + 20, 470, 1000, 865, 0.9)
    script = {
        (0, 0): [(300, 400, START + 60, EDGE, 0.95)],
        (0, START): [(300, START, START + 60, 1000, 0.95)],
        (START, 0): [neighbour],
    }
    assert boxes_found(script, tmp_path) == [(300, 400, START + 60, 1000, 0.95), neighbour]


@pytest.mark.parametrize("gap", [0, 3, 5, 15])
def test_a_mask_that_stops_a_cell_short_of_the_edge_is_joined(gap, tmp_path):
    script = {
        (0, 0): [(450, 300, EDGE - gap, 340, 0.9)],
        (START, 0): [(START, 300, 1300, 340, 0.9)],
    }
    assert boxes_found(script, tmp_path) == [(450, 300, 1300, 340, 0.9)]


def test_of_tiles_that_cut_an_object_alike_the_one_that_sees_more_around_it_decides(tmp_path):
    y0, y1 = EDGE - 26, EDGE - 2  # 266 px inside the lower tiles
    below = {
        (0, START): [(400, y0, EDGE, y1, 0.9)],
        (START, START): [(START, y0, 1200, y1, 0.9)],
    }
    assert boxes_found(below, tmp_path) == [(400, y0, 1200, y1, 0.9)]
    above = {
        (0, 0): [(400, y0, EDGE, y1, 0.9)],
        (START, 0): [(START, y0, 1200, y1, 0.9)],
    }
    assert boxes_found(above, tmp_path) == []


def test_an_overlap_that_joins_nothing_is_an_error(tmp_path):
    oracle = Oracle()
    oracle.tile_overlap_px = 0
    with pytest.raises(ConfigError, match="tile overlap must be at least 8 px, got 0 px"):
        predict_page(oracle, page_of(np.zeros((300, 200), np.uint8), tmp_path))


def touching_ellipses(seed, image_hw):
    """Long objects that touch, each a pixel wider than it is: neighbours overlap by a sliver."""
    rng = np.random.default_rng(seed)
    taken, masks = np.zeros(image_hw, np.uint8), []
    for _ in range(60):
        one = np.zeros(image_hw, np.uint8)
        size = int(rng.uniform(10, 150)), int(rng.uniform(6, 20))
        centre = tuple(int(value) for value in rng.uniform(0, 300, 2))
        cv2.ellipse(one, centre, size, rng.uniform(0, 180), 0, 360, 1, -1)
        n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(one & (1 - taken))
        if n_labels > 1 and stats[1:, cv2.CC_STAT_AREA].max() >= 150:
            one = (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)
            taken |= one
            masks.append(cv2.dilate(one, np.ones((3, 3), np.uint8)).astype(bool))
    return masks


@pytest.mark.parametrize("seed", range(1, 8))
def test_a_sliver_of_a_neighbour_joins_nothing(seed):
    image_hw = (300, 300)
    masks, tiles = touching_ellipses(seed, image_hw), tiles_of(image_hw, 128, 48)
    detections = []
    for tile in tiles:
        parts = [part for mask in masks if (part := mask[tile.slices]).sum() >= 20]
        found = ImageInstances(
            "t", (tile.height, tile.width), tuple(map(rle.encode, parts)), np.full(len(parts), 0.9)
        )
        detections += detections_of(found, tile, image_hw)
    page = stitch(detections, ImageInstances("p", image_hw), tiles)
    found = {mask["counts"] for mask in page.masks}
    assert len(masks) > 40
    assert all(rle.encode(mask)["counts"] in found for mask in masks)
