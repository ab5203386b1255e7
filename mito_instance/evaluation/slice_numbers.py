"""Whether two folders of single slices fit, by the numbers in their names."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

from mito_instance.annotations.series import number_span
from mito_instance.errors import AnnotationError
from mito_instance.io.images import find_images


def check_slice_numbers(path_true: Path, path_pred: Path) -> str | None:
    """What the names of two folders of single slices say of how they fit: pages go by order.

    Args:
        path_true: the truth.
        path_pred: the prediction.

    Returns:
        A notice where the numbers differ throughout; None where they are equal, or the names do
        not end in ascending numbers.

    Raises:
        AnnotationError: if numbers of one of the folders have a gap, and not all differ by the
            same from those of the other.
    """
    folders = (path_true, path_pred)
    if not all(path.is_dir() for path in folders):
        return None
    files = [find_images([path]) for path in folders]
    spans = [[(file, number_span(file.name)) for file in of_folder] for of_folder in files]
    if any(span is None for of_folder in spans for _, span in of_folder):
        return None
    numbers = [
        [int(file.name[slice(*span)]) for file, span in of_folder if span] for of_folder in spans
    ]
    if len(numbers[0]) != len(numbers[1]):
        return None  # said with the page that is absent
    steps = [{second - first for first, second in pairwise(of_folder)} for of_folder in numbers]
    if min(set().union(*steps), default=1) < 1:
        return None  # no numbers of slices, as in z001_c0.tif
    true_of, pred_of = numbers
    if true_of == pred_of:
        return None
    is_gapless = all(len(of_folder) <= 1 for of_folder in steps)
    apart = [true - pred for true, pred in zip(true_of, pred_of, strict=True)]
    if not is_gapless and len(set(apart)) > 1:
        usual = 0 if 0 in apart else Counter(apart).most_common(1)[0][0]
        first = next(position for position, gap in enumerate(apart) if gap != usual)
        raise AnnotationError(
            f"{files[1][first]}: would be compared with {files[0][first]}, whose number does not "
            "fit as those of others do: a slice is missing in one of the folders"
        )
    return (
        f"{files[1][0]}: is compared with {files[0][0]}, and so on in this order, though the "
        "numbers differ"
    )
