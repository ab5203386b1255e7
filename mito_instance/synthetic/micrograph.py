"""One synthetic electron micrograph with the exact outline of every mitochondrion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.calibration import PixelSize
from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.synthetic.cells import Cells, grow_cells, membrane_darkness
from mito_instance.synthetic.fields import FloatImage, power_noise, smooth_noise, streaks
from mito_instance.synthetic.growth import Mitochondrion
from mito_instance.synthetic.mitochondria import (
    draw_mitochondrion,
    outer_membrane,
    pieces_inside,
    place_mitochondria,
)
from mito_instance.synthetic.organelles import (
    draw_dense_bodies,
    draw_densities,
    draw_myelin,
    draw_nuclei,
    draw_tubes,
    draw_vesicles,
)

MIN_SIDE_PX = 32
_MARGIN_NM = 300.0
_PER_UM2 = 1.1  # mitochondria per µm² of neuropil


@dataclass(frozen=True, slots=True)
class Micrograph:
    """A synthetic image and its truth.

    Args:
        image: uint8 (H, W).
        instances: exact masks; no scores; pixel size known.
    """

    image: npt.NDArray[np.uint8]
    instances: ImageInstances


def make_micrograph(
    rng: np.random.Generator,
    image_hw: tuple[int, int] = (768, 1024),
    pixel_size_nm: float = 5.0,
    count: int | None = None,
    *,
    touching_fraction: float = 0.15,
    noise: float = 14.0,
    name: str = "synthetic.tif",
) -> Micrograph:
    """Draw a micrograph of neuropil: the same ``rng`` state gives the same pixels and masks.

    Args:
        rng: source of all randomness.
        image_hw: height and width in pixels, each at least 32.
        pixel_size_nm: edge length of one pixel, in [1, 40] nm; structures keep their real size.
        count: number of mitochondria wished for; fewer when there is no room, and one or two
            more when the edge cuts a shape in two. By default about 1.1 per µm².
        touching_fraction: share, in [0, 1], placed against another mitochondrion.
        noise: standard deviation of the detector noise, in grey levels.
        name: identity of the image, as ``ImageInstances.image``.

    Returns:
        The image and its instances. Masks reach to the middle of the outer membrane,
        where annotators draw the outline; they do not overlap, and are
        one 4-connected component of at least 25 px each; ``count`` 0 gives none.

    Raises:
        ConfigError: if an argument is out of range.
    """
    _check(image_hw, pixel_size_nm, count, touching_fraction, noise)
    nm = pixel_size_nm
    margin_px = max(8, round(_MARGIN_NM / nm))
    canvas_hw = (image_hw[0] + 2 * margin_px, image_hw[1] + 2 * margin_px)
    if count is None:
        count = int(rng.poisson(_PER_UM2 * image_hw[0] * image_hw[1] * nm**2 / 1e6))

    cells = grow_cells(rng, canvas_hw, nm)
    texture = power_noise(rng, canvas_hw, 2.3, 400.0 / nm)
    membrane_grey = float(rng.uniform(46.0, 58.0))
    canvas = _cytoplasm(rng, cells, texture, nm)
    nuclei = draw_nuclei(rng, canvas, cells, nm, membrane_grey)
    cytoplasm = _without(cells, nuclei)
    draw_tubes(rng, canvas, cytoplasm, nm, membrane_grey)
    draw_vesicles(rng, canvas, cytoplasm, nm, membrane_grey)
    darkness = membrane_darkness(rng, cells, nm)
    canvas += (np.float32(membrane_grey) - canvas) * darkness
    draw_densities(rng, canvas, cells, nm, membrane_grey)
    myelin = draw_myelin(rng, canvas, cells, nm, membrane_grey)

    room = _without(cells, nuclei | myelin)
    shapes = place_mitochondria(
        rng, room, nm, count=count, margin_px=margin_px, touching_fraction=touching_fraction
    )
    occupied = nuclei | myelin
    for shape in shapes:
        occupied[shape.window] |= shape.mask
    draw_dense_bodies(rng, canvas, cells, occupied, nm, membrane_grey)
    matrix_grey = membrane_grey + float(rng.uniform(38.0, 52.0))
    _draw_outer_halves(canvas, shapes, nm, membrane_grey)
    for shape in shapes:
        draw_mitochondrion(
            rng, canvas, texture, shape, nm, matrix_grey=matrix_grey, membrane_grey=membrane_grey
        )

    masks = [
        rle.place(piece, x, y, image_hw)
        for shape in shapes
        for x, y, piece in pieces_inside(shape, margin_px, canvas_hw)
    ]
    inside = canvas[margin_px : margin_px + image_hw[0], margin_px : margin_px + image_hw[1]]
    return Micrograph(
        _photograph(rng, inside, noise),
        ImageInstances(name, image_hw, tuple(masks), pixel_size=PixelSize(nm, "synthetic")),
    )


def _draw_outer_halves(
    canvas: FloatImage, shapes: list[Mitochondrion], nm: float, membrane_grey: float
) -> None:
    """Paint the half of each outer membrane that lies outside of the mask."""
    outside = np.ones(canvas.shape, dtype=np.uint8)
    for shape in shapes:
        outside[shape.window][shape.mask] = 0
    if outside.all():
        return
    distance_nm = (cv2.distanceTransform(outside, cv2.DIST_L2, 5) - 0.5) * nm
    cover = np.where(outside > 0, outer_membrane(distance_nm), 0).astype(np.float32)
    canvas += cover * (membrane_grey - canvas)


def _check(
    image_hw: tuple[int, int],
    pixel_size_nm: float,
    count: int | None,
    touching_fraction: float,
    noise: float,
) -> None:
    """Refuse arguments that give no picture, each with its rule."""
    if min(image_hw) < MIN_SIDE_PX:
        raise ConfigError(
            f"synthetic image: each side must be >= {MIN_SIDE_PX} px, got {image_hw}; "
            "ask for a larger image"
        )
    if not 1.0 <= pixel_size_nm <= 40.0:
        raise ConfigError(
            f"synthetic image: pixel size must be in [1, 40] nm, got {pixel_size_nm}; "
            "membranes and cristae cannot be drawn beyond"
        )
    if count is not None and count < 0:
        raise ConfigError(f"synthetic image: count must be >= 0, got {count}; use 0 for none")
    if not 0.0 <= touching_fraction <= 1.0:
        raise ConfigError(
            f"synthetic image: touching_fraction must be in [0, 1], got {touching_fraction}; "
            "give a share, not a percentage"
        )
    if not 0.0 <= noise <= 100.0:
        raise ConfigError(
            f"synthetic image: noise must be in [0, 100] grey levels, got {noise}; "
            "14 looks like an ion-beam microscope"
        )


def _cytoplasm(
    rng: np.random.Generator, cells: Cells, texture: FloatImage, nm: float
) -> FloatImage:
    """Grey levels of the cytoplasm: each profile has its own brightness, grain and streaks."""
    canvas_hw = (texture.shape[0], texture.shape[1])
    directions = [streaks(rng, canvas_hw, rng.uniform(0, np.pi), 180.0 / nm) for _ in range(3)]
    brightness = rng.normal(181.0, 9.0, cells.count).astype(np.float32)
    grain = rng.uniform(14.0, 28.0, cells.count).astype(np.float32)
    direction = rng.integers(3, size=cells.count)
    fibres = rng.uniform(0.0, 7.0, cells.count).astype(np.float32)
    skewed = texture - np.float32(0.22) * texture**2
    clots = np.clip(smooth_noise(rng, canvas_hw, 22.0 / nm) - np.float32(1.0), 0, 1.5)
    skewed -= np.float32(1.4) * clots * np.clip(1 - 0.6 * texture, 0, 2)
    canvas = brightness[cells.labels] + grain[cells.labels] * skewed
    canvas += fibres[cells.labels] * np.choose(direction[cells.labels], directions)
    return np.asarray(canvas, dtype=np.float32)


def _without(cells: Cells, taken: npt.NDArray[np.bool_]) -> Cells:
    """The same profiles with no room where ``taken`` is true."""
    depth_nm = np.where(taken, np.float32(0), cells.depth_nm)
    inner_radius_nm = np.zeros(cells.count)
    np.maximum.at(inner_radius_nm, cells.labels.ravel(), depth_nm.ravel())
    return Cells(cells.labels, depth_nm, inner_radius_nm)


def _photograph(
    rng: np.random.Generator, canvas: FloatImage, noise: float
) -> npt.NDArray[np.uint8]:
    """Blur, uneven illumination, contrast, shot and detector noise, 8 bits."""
    image_hw = (canvas.shape[0], canvas.shape[1])
    picture = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(1.2, 1.6))
    picture = picture + 4.0 * smooth_noise(rng, image_hw, max(image_hw) / 2)
    picture = (picture - 128.0) * rng.uniform(0.93, 1.07) + 128.0 + rng.normal(-3, 5)
    sigma = noise * np.sqrt(np.clip(picture, 20, 255) / 150.0) ** 0.5
    picture = picture + sigma * rng.standard_normal(image_hw, dtype=np.float32)
    return np.asarray(np.clip(np.rint(picture), 0, 255), dtype=np.uint8)
