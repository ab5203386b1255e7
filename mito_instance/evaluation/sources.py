"""Reads a truth or a prediction: COCO JSON, label images or ImageJ ROIs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from mito_instance.annotations.conversion import Conversion
from mito_instance.annotations.from_rois import convert_roi_pairs
from mito_instance.annotations.image_files import page_of
from mito_instance.annotations.mask_values import is_soft_binary
from mito_instance.annotations.pairing import names_another, pair_by_name
from mito_instance.annotations.roi_sets import find_roi_sets, pair_roi_sets
from mito_instance.errors import AnnotationError, ConfigError, MitoInstanceError
from mito_instance.evaluation.label_images import read_label_pages
from mito_instance.evaluation.results_list import is_results_list, read_predictions
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco
from mito_instance.io.images import IMAGE_SUFFIXES, find_images, page_headers, page_pixel_sizes
from mito_instance.masks.labels import label_rles

_ROI_SUFFIXES = frozenset({".zip", ".roi"})


@dataclass(frozen=True, slots=True)
class Source:
    """The instances of one side.

    Args:
        images: one entry an image or page.
        failures: one line for each file that could not be read.
        notices: one line for each decision that the user should know of.
        names_pictures: whether ``image`` is the path of a micrograph, and not of a label image.
        incomplete: image and frame of those of which an ROI could not be used, or may be missing.
    """

    images: tuple[ImageInstances, ...]
    failures: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    names_pictures: bool = True
    incomplete: frozenset[tuple[str, int]] = frozenset()


def read_source(
    path: Path,
    images: Path | None = None,
    truth: Path | None = None,
    images_true: Sequence[ImageInstances] = (),
) -> Source:
    """Instances of a COCO JSON, of label images or of ImageJ ROI files.

    Label images hold one integer an instance, 0 is background; the ids need not be
    consecutive, and each connected part of an id is an instance. Palettes and colours are read
    as in ``mito convert-masks``.
    A stack has one label image a page. ROIs know no image size, so that they need ``images``,
    to which they belong by name; in a folder they are what is read, unless label images lie there
    and ROIs only in folders below. A page of a stack that carries no ROI is left out; but one that
    stands in ``images_true`` is a page without predictions.

    Args:
        path: a JSON, a label image or a folder of them, or ROI zips and ``.roi`` files or a
            folder of them.
        images: the micrographs. Needed by ROIs; label images take their names from them, so
            that ``cell_01_labels.tif`` is paired with ``cell_01.png``, and the pixel size that
            they lack; where a JSON names files
            that are not there, those of the same name stand for them.
        truth: COCO JSON that a bare results list was made for; None for the truth itself.
        images_true: images of the truth; none for the truth itself.

    Raises:
        MitoInstanceError: if nothing can be read; a bad file among others is a failure.
    """
    if not path.exists():
        # The reader of COCO JSON words this as it does for every other JSON.
        return Source(tuple(read_coco(path)))
    is_of_labels = _has_labels(path, images)
    if _is_of(path, _ROI_SUFFIXES, recursive=not is_of_labels):
        line = f"{path}: holds images as well; its ROIs are read"
        return _noted(_read_rois(path, images, images_true), [line] if is_of_labels else [])
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        if is_of_labels and images is None and _is_of(path, _ROI_SUFFIXES):
            try:
                return _read_labels(path, None)
            except MitoInstanceError:  # no label images: the micrographs of the ROIs below
                return _read_rois(path, None, images_true)
        line = f"{path}: its label images are read, and not the ROIs in folders below"
        return _noted(_read_labels(path, images), [line] if _is_of(path, _ROI_SUFFIXES) else [])
    if truth is not None and is_results_list(path):
        if truth.is_dir() or truth.suffix.lower() != ".json":
            raise ConfigError(
                f"{path}: a results list names no images, so the truth must be the COCO JSON it "
                f"was made for, got {truth}; give that JSON, or predictions as full COCO JSON"
            )
        return _at_hand(read_predictions(path, truth), images)
    return _at_hand(read_coco(path, by_id=True), images)


def named_like(pred: Source, truth: Source) -> Source:
    """The prediction under the truth's name where each is a single label file.

    For a file that a user named, and another, or the only one of a folder: these belong together,
    whatever their names. Of two folders that hold one file each, nobody said so.

    Args:
        pred: the prediction.
        truth: the truth.

    Returns:
        The prediction; unchanged unless both are one label file without micrographs.
    """
    names = [{image.image for image in source.images} for source in (truth, pred)]
    if truth.names_pictures or pred.names_pictures or [len(name) for name in names] != [1, 1]:
        return pred
    (name,) = names[0]
    return replace(pred, images=tuple(replace(image, image=name) for image in pred.images))


def _is_of(path: Path, suffixes: Collection[str], *, recursive: bool = True) -> bool:
    """Whether a file, or any file in a folder, or below it, has one of the suffixes."""
    if path.is_dir():
        return any(
            entry.suffix.lower() in suffixes and not entry.name.startswith(".")
            for entry in (path.rglob("*") if recursive else path.iterdir())
        )
    return path.suffix.lower() in suffixes


def _has_labels(path: Path, images: Path | None) -> bool:
    """Whether pictures lie in a folder itself that are not the micrographs, which may lie there."""
    if not path.is_dir() or not _is_of(path, IMAGE_SUFFIXES, recursive=False):
        return False
    return images is None or all(
        file.resolve().parent != path.resolve() for file in find_images([images])
    )


def reads_labels(path: Path, images: Path | None) -> bool:
    """Whether `read_source` reads the label images of a folder, and no ROIs in or below it."""
    return _has_labels(path, images) and not _is_of(path, _ROI_SUFFIXES, recursive=False)


def _noted(source: Source, lines: Sequence[str]) -> Source:
    return replace(source, notices=(*lines, *source.notices))


def _at_hand(listed: Sequence[ImageInstances], images: Path | None) -> Source:
    """Images of a JSON; those that are not where it says, among the micrographs of that name."""
    if images is None or all(Path(image.image).is_file() for image in listed):
        return Source(tuple(listed))
    by_name: dict[str, list[str]] = {}
    for file in find_images([images]):
        by_name.setdefault(file.name.casefold(), []).append(str(file))
    absent = {image.image for image in listed if not Path(image.image).is_file()}
    claims = Counter(PurePath(image).name.casefold() for image in {image.image for image in listed})
    found = []
    for image in listed:
        name = PurePath(image.image).name.casefold()
        same = by_name.get(name, [])
        # Of wt/cell.tif and ko/cell.tif nobody knows which one is meant.
        is_elsewhere = image.image in absent and len(same) == claims[name] == 1
        found.append(replace(image, image=same[0]) if is_elsewhere else image)
    return Source(tuple(found))


def _read_rois(path: Path, images: Path | None, images_true: Sequence[ImageInstances]) -> Source:
    if images is None:
        raise ConfigError(
            f"{path}: ImageJ ROIs do not say how large their image is; give the images by --images"
        )
    pictures = find_images([images])
    pairing = pair_roi_sets(pictures, find_roi_sets([path]))
    conversion = convert_roi_pairs(pairing.pairs, is_empty=_listed(images_true, pictures))
    return _source(conversion, pairing.failures, pairing.notices, path, names_pictures=True)


def _listed(
    images_true: Sequence[ImageInstances], pictures: Sequence[Path]
) -> Callable[[Path, int], bool]:
    """Whether the truth lists a page of a micrograph: by its path, or a name that no other has."""
    pages = set()
    files_of: dict[str, set[Path]] = defaultdict(set)
    for image in images_true:
        pages.add(page := page_of(image))
        files_of[PurePath(image.image).stem].add(page[0])
    n_pictures = Counter(picture.stem for picture in pictures)

    def is_listed(picture: Path, frame: int) -> bool:
        named = files_of[picture.stem] if n_pictures[picture.stem] == 1 else ()
        return (picture.resolve(), frame) in pages or (
            len(named) == 1 and (next(iter(named)), frame) in pages
        )

    return is_listed


def _read_labels(path: Path, images: Path | None) -> Source:
    files = find_images([path])
    named = {file: file for file in files}
    alone: Sequence[str] = ()
    if images is not None:
        pictures = find_images([images])
        pairing = pair_by_name(pictures, files)
        found = dict(pairing.pairs)
        if len(pictures) == len(files) == 1 and not names_another(pictures[0], files[0]):
            found = {pictures[0]: files[0]}
        named = {label: picture for picture, label in found.items()}
        alone = [
            *pairing.ambiguous,
            *(
                f"{label}: no image has this name; name the label image like its image"
                for label in files
                if label not in named and label in pairing.partners_alone
            ),
        ]
    conversion = Conversion()
    for label, picture in named.items():
        try:
            conversion.images.extend(_label_pages(label, picture, conversion.notices))
        except MitoInstanceError as error:
            conversion.failures.append(str(error))
    return _source(conversion, alone, (), path, names_pictures=images is not None)


def _label_pages(path: Path, picture: Path, notices: list[str]) -> list[ImageInstances]:
    """The instances of each page of a label image."""
    pages: list[ImageInstances] = []
    for page, labels in read_label_pages(path, notices):
        where = page.where
        if is_soft_binary(labels):
            notices.append(
                f"{where}: most values are near its two ends, as in a binary mask with soft edges, "
                "and each is read as a label; for one object a component, mito convert-masks first"
            )
        rles, n_divided = label_rles(labels)
        if n_divided:
            notices.append(
                f"{where}: {n_divided} label values lie in several parts; each part is an instance"
            )
        pages.append(
            ImageInstances(
                image=str(picture),
                image_hw=(int(labels.shape[0]), int(labels.shape[1])),
                masks=tuple(rles),
                frame=page.frame,
            )
        )
    sizes = page_pixel_sizes(path)
    of_picture = [] if picture == path else page_headers(picture)
    if [hw for hw, _ in of_picture] != [page.image_hw for page in pages]:  # its pages are not these
        lost = next((size for _, size in of_picture if size is not None), None)
        if lost is not None and None in sizes:
            notices.append(
                f"{path}: is not of the pages of {picture}, or their size, and does not take its "
                f"pixel size of {lost.nm:g} nm; --pixel-size-nm tells its own"
            )
        of_picture = [(page.image_hw, None) for page in pages]
    return [
        replace(page, pixel_size=size or other)
        for page, size, (_, other) in zip(pages, sizes, of_picture, strict=True)
    ]


def _source(
    conversion: Conversion,
    failures: Sequence[str],
    notices: Sequence[str],
    path: Path,
    *,
    names_pictures: bool,
) -> Source:
    """The result, or an error if no image at all could be read."""
    failures = (*failures, *conversion.failures)
    if not conversion.images:
        raise AnnotationError(
            failures[0] if failures else f"{path}: holds no instances of any image; check the path"
        )
    return Source(
        tuple(conversion.images),
        failures,
        (*notices, *conversion.notices),
        names_pictures,
        frozenset((str(path), page) for path, page in conversion.incomplete),
    )
