"""Which mask or ROI file belongs to which image, by name; never by guess."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mito_instance.errors import AnnotationError
from mito_instance.io.images import SUFFIX_PATTERN

# Words that only say what a file holds; "cell_01_mask.png" belongs to "cell_01.tif".
_WORDS = (
    "mask|masks|label|labels|labeled|labelled|seg|segmentation|gt|groundtruth|ground_truth|truth"
    "|annotation|annotations|instances|mito|mitos|mitochondria|roi|rois|roiset|roi_set"
    "|image|images|img|input|inputs|raw|em"
)
_SEPARATOR = r"[\s._\-]+"
_LEADING_WORD = re.compile(rf"^(?:{_WORDS})(?:{_SEPARATOR}|(?=\d)|$)", re.IGNORECASE)
_TRAILING_WORD = re.compile(rf"(?:{_SEPARATOR}|^)(?:{_WORDS})$", re.IGNORECASE)
_SUFFIX = re.compile(rf"\.(?:{SUFFIX_PATTERN}|roi|zip|json|txt)$", re.IGNORECASE)
_ENDS_IN_WORD = re.compile(r"[^\W_]$")
_BEGINS_WITH_WORD = re.compile(r"^[^\W_]")
MAX_FOLDERS = 4
"""Most folders in front of the name of a result."""

_MAX_COMPARISONS = 4_000_000
_NUMBER = re.compile(r"^(.*?)(\d+)$", re.DOTALL)
_DIGITS = re.compile(r"\d+")
_NUMBERED_SET = re.compile(r"rois?[ _-]?(?:set)?[ _-]?\d+")


@dataclass(frozen=True, slots=True)
class Pairing:
    """Images with their partners.

    Args:
        pairs: image and partner, in the order of the images.
        images_alone: images that no partner was found for.
        partners_alone: partners that no image was found for.
        ambiguous: one line for each image or partner that several could belong to, or for all
            if their numbers do not fit; these are in none of the other lists.
    """

    pairs: tuple[tuple[Path, Path], ...]
    images_alone: tuple[Path, ...]
    partners_alone: tuple[Path, ...]
    ambiguous: tuple[str, ...]


def pair_by_name(
    images: Sequence[Path], partners: Sequence[Path], *, loosely: bool = True
) -> Pairing:
    """Pair images with mask or ROI files by their names.

    The rules are tried in this order, each on what the rules before it left over: the image's
    folder and its name (``wt_cell.zip`` for ``wt/cell.tif``, as `mito quantify` names the results
    of images that share a name), unless an image bears that name itself, or the image alone
    bears its own and has a partner of it; the same name without
    suffix; the same but for case; the same without words such as ``mask``, ``_labels``,
    ``RoiSet``, ``image_``, unless numbers remain of which one side may count from 0. If none of
    these finds a single pair, one and the same text before or behind every image's name decides
    (``cell7.png``, ``cell7_by-anna.png``);
    else the number at the end, where all images have one name before it and all partners have
    one too (``images.010``, ``mitos_3D.010``), unless a partner bears the whole name of another
    image (``Image_1``, ``Image_2``, ``Image_1_Mask_2``), or there are as many partners as images
    but with other numbers: one of both may count from 0. Where several partners or several images
    share a name, none of them is paired. The same letter written in two ways in Unicode is the
    same.

    Args:
        images: image files.
        partners: mask files, ROI files or folders.
        loosely: whether a text around the names, or their number alone, may decide.
    """
    left_images, left_partners = list(images), list(partners)
    pairs: dict[Path, Path] = {}
    ambiguous: list[str] = []
    _match_folder(left_images, left_partners, pairs, ambiguous)
    for key in (_stem, _stem_any_case):
        _match(left_images, left_partners, key, pairs, ambiguous)
    if not pairs and (shift := _shifted_numbers(left_images, left_partners, _core)):
        return Pairing((), (), (), (*ambiguous, shift))
    _match(left_images, left_partners, _core, pairs, ambiguous)
    if loosely and not pairs and not ambiguous:
        _match_affix(left_images, left_partners, pairs, ambiguous)
    is_open = loosely and not pairs and not ambiguous
    are_series = is_open and _one_series(images) and _one_series(partners)
    if are_series and not _number_contradicts(images, partners):
        if shift := _shifted_numbers(images, partners, _number):
            return Pairing((), (), (), (shift,))
        _match(left_images, left_partners, _number, pairs, ambiguous)
    return Pairing(
        tuple((image, pairs[image]) for image in images if image in pairs),
        tuple(left_images),
        tuple(left_partners),
        tuple(ambiguous),
    )


def pair_by_order(images: Sequence[Path], partners: Sequence[Path]) -> Pairing:
    """Pair the first image with the first partner, and so on; only when a user asks for it.

    Args:
        images: image files, in order.
        partners: as many files, in order.

    Raises:
        AnnotationError: if there are not as many of both.
    """
    if len(images) != len(partners):
        raise AnnotationError(
            f"{partners[0].parent if partners else images[0].parent}: pairing by order needs as "
            f"many masks as images, got {len(partners)} masks for {len(images)} images; remove "
            "what has no partner"
        )
    return Pairing(tuple(zip(images, partners, strict=True)), (), (), ())


def plain_names(paths: Iterable[Path]) -> set[str]:
    """Names without suffixes, of which case and spelling in Unicode are left out."""
    return {_stem_any_case(path) for path in paths}


def names_only_its_content(path: Path) -> bool:
    """Whether a file name says what the file holds and no more, as ``RoiSet.zip`` does."""
    return not _core(path)


def names_another(image: Path, partner: Path) -> bool:
    """Whether two names are those of two in a series: all alike but for a number in them."""
    one, other = _core(image), _core(partner)
    if _NUMBERED_SET.fullmatch(_stem_any_case(partner)) and other.isdecimal():
        return False  # RoiSet2 may be the second set of image_5
    if _DIGITS.sub("#", one) != _DIGITS.sub("#", other):
        return False
    pairs = zip(_DIGITS.findall(one), _DIGITS.findall(other), strict=True)
    return any(number.lstrip("0") != another.lstrip("0") for number, another in pairs)


def _match_folder(
    images: list[Path],
    partners: list[Path],
    pairs: dict[Path, Path],
    ambiguous: list[str],
) -> None:
    """Pair images with files that are named after the image's folders and the image.

    An image that alone bears its name, and has a partner of that very name, needs no other.
    """
    n_images = Counter(map(_stem_any_case, images))
    names_of_partners = {_stem_any_case(partner) for partner in partners}
    open_images = [
        image
        for image in images
        if n_images[_stem_any_case(image)] > 1 or _stem_any_case(image) not in names_of_partners
    ]
    open_partners = [partner for partner in partners if not n_images[_stem_any_case(partner)]]
    left_images, left_partners = list(open_images), list(open_partners)
    for depth in range(1, MAX_FOLDERS + 1):
        key = partial(_folders_and_stem, depth=depth)
        _match(left_images, left_partners, _stem_any_case, pairs, ambiguous, image_key=key)
    for image in set(open_images) - set(left_images):
        images.remove(image)
    for partner in set(open_partners) - set(left_partners):
        partners.remove(partner)


def _match_affix(
    images: list[Path], partners: list[Path], pairs: dict[Path, Path], ambiguous: list[str]
) -> None:
    """Pair files whose names differ by one and the same text in front or behind."""
    if len(images) * len(partners) > _MAX_COMPARISONS:
        return
    names, longer = ([_stem_any_case(path) for path in side] for side in (images, partners))
    affixes = {_affix(name, text) for name in names for text in longer} - {None}
    if len(affixes) == 1:
        key = partial(_without_affix, affix=affixes.pop())
        _match(images, partners, key, pairs, ambiguous, image_key=_stem_any_case)


def _affix(name: str, longer: str) -> tuple[str, str] | None:
    """What stands before and behind a name in a longer one; None where it is no part of its own."""
    before, is_in, behind = longer.partition(name) if name else ("", "", "")
    if not is_in or _ENDS_IN_WORD.search(before) or _BEGINS_WITH_WORD.search(behind):
        return None
    return before, behind


def _without_affix(path: Path, affix: tuple[str, str] | None) -> str:
    """The name without what stands before and behind it; empty where the affix is another."""
    before, behind = affix or ("", "")
    longer = _stem_any_case(path)
    name = longer[len(before) : len(longer) - len(behind)]
    return name if _affix(name, longer) == affix else ""


def _shifted_numbers(
    images: Sequence[Path], partners: Sequence[Path], key: Callable[[Path], str]
) -> str:
    """The line that says why equally many numbers do not fit; empty where they can be paired.

    Where one side counts from 0 and the other from 1, equal numbers would be wrong pairs.

    Args:
        images: image files.
        partners: mask files, ROI files or folders.
        key: the number of each; of anything else, nothing is said.
    """
    keys = [[key(path) for path in side] for side in (images, partners)]
    if not all(name.isdecimal() for side in keys for name in side):
        return ""
    of_images, of_partners = ({int(name[:40]) for name in side} for side in keys)
    shared = of_images & of_partners
    if len(of_images) != len(of_partners) or len(shared) in (0, len(of_images)):
        return ""
    return (
        f"{images[0].parent}: {len(images)} images are numbered {min(of_images)} to "
        f"{max(of_images)}, but as many partners in {partners[0].parent} {min(of_partners)} to "
        f"{max(of_partners)}; number both alike, or remove what has no partner"
    )


def _number_contradicts(images: Sequence[Path], partners: Sequence[Path]) -> bool:
    """Whether the number of a partner leads to another image than the name that it bears.

    Names that are numbers alone are borne by chance.
    """
    names = [(_stem_any_case(image), _number(image)) for image in images]
    names = [(name, number) for name, number in names if not name.isdecimal()]
    if len(names) * len(partners) > _MAX_COMPARISONS:
        return True
    for partner in partners:
        longer = _stem_any_case(partner)
        numbers = {number for name, number in names if _affix(name, longer) is not None}
        if numbers and _number(partner) not in numbers:
            return True
    return False


def _match(
    images: list[Path],
    partners: list[Path],
    key: Callable[[Path], str],
    pairs: dict[Path, Path],
    ambiguous: list[str],
    image_key: Callable[[Path], str] | None = None,
) -> None:
    """Pair files of equal key; what is paired or ambiguous is taken out of the lists."""
    images_by_key, partners_by_key = _grouped(images, image_key or key), _grouped(partners, key)
    for value, same_images in images_by_key.items():
        same_partners = partners_by_key.get(value, [])
        if not value or not same_partners:
            continue
        if len(same_images) == len(same_partners) == 1:
            pairs[same_images[0]] = same_partners[0]
        elif len(same_partners) > 1:
            ambiguous.append(_ambiguity(same_images[0], same_partners))
        else:
            ambiguous.append(_ambiguity(same_partners[0], same_images))
        for image in same_images:
            images.remove(image)
        for partner in same_partners:
            partners.remove(partner)


def _grouped(paths: Sequence[Path], key: Callable[[Path], str]) -> Mapping[str, list[Path]]:
    """Paths by key, in the given order."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return groups


def _ambiguity(one: Path, several: Sequence[Path]) -> str:
    """The line that names both candidates."""
    names = " and ".join(str(path) for path in several[:2])
    more = f" and {len(several) - 2} more" if len(several) > 2 else ""
    return f"{one}: could belong to {names}{more}; rename the files so that one name fits"


def _stem(path: Path) -> str:
    """The file name without the suffixes of images, ROI files and zips; a folder's whole name."""
    name = path.name
    if name in ("", ".."):  # a folder that is named from where one is
        name = Path(os.path.abspath(path)).name  # noqa: PTH100 (links are not followed)
    while (shorter := _SUFFIX.sub("", name)) not in (name, ""):
        name = shorter
    return name


def _stem_any_case(path: Path) -> str:
    """The stem; upper and lower case, and two spellings of one letter, taken as equal."""
    return unicodedata.normalize("NFC", _stem(path).casefold())


def folders_and_name(path: Path, name: str, depth: int) -> str:
    """The name that results of an image have where another image shares its own.

    Args:
        path: the image.
        name: its name without suffix.
        depth: number of folders in front.

    Returns:
        Such as ``wt_cell``, never hidden by a dot in front; of a file near the root, with as
        many folders as there are.
    """
    parent = Path(os.path.abspath(path)).parent  # noqa: PTH100 (links are not followed)
    folders = [part for part in parent.parts if part != parent.anchor]
    return "_".join([*folders[-depth:], name]).lstrip(".")


def _folders_and_stem(path: Path, depth: int) -> str:
    name = folders_and_name(path, _stem(path), depth)
    return unicodedata.normalize("NFC", name.casefold())


def _core(path: Path) -> str:
    """The stem without words that only say what the file holds; empty when nothing is left."""
    name = _stem_any_case(path)
    while True:
        shorter = _TRAILING_WORD.sub("", _LEADING_WORD.sub("", name)).strip(" ._-")
        if shorter == name:
            return name
        name = shorter


def _number(path: Path) -> str:
    """The number that the stem ends with, without leading zeros; empty when there is none."""
    found = _NUMBER.match(_stem(path))
    return str(int(found.group(2)[:40])) if found else ""


def _one_series(paths: Sequence[Path]) -> bool:
    """Whether all names are one text followed by a number."""
    found = [_NUMBER.match(_stem(path)) for path in paths]
    return all(found) and len({match.group(1) for match in found if match}) == 1
