"""Which group an image belongs to: by its folder, or by an expression on its path."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mito_instance.errors import ConfigError

logger = logging.getLogger(__name__)

BY_FOLDER = "folder"
ALL = "all"


def group_of_all(_path: Path) -> str:
    """One group for all images."""
    return ALL


def grouping(rule: str | None, paths: Sequence[Path]) -> Callable[[Path], str]:
    r"""The group of each image.

    Args:
        rule: ``"folder"`` for the folder that an image lies in, as it was given; or a regular
            expression with one group, searched in the path (with forward slashes):
            ``(wt|ko)_\d+``; None for one group of all images.
        paths: all images; those that the expression does not find belong to the group ``""``.

    Raises:
        ConfigError: if the expression is none, has not one group, or finds nothing at all.
    """
    if rule is None:
        return group_of_all
    if rule == BY_FOLDER:
        return lambda path: path.parent.as_posix()
    try:
        expression = re.compile(rule)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"--group-by {rule!r}: not a regular expression ({error}); give 'folder', or an "
            "expression with one group such as '(wt|ko)_'"
        ) from error
    if expression.groups != 1:
        raise ConfigError(
            f"--group-by {rule!r}: must have exactly one group in parentheses, "
            f"got {expression.groups}; write others as (?:…)"
        )

    def group_of(path: Path) -> str:
        found = expression.search(path.as_posix())
        return (found.group(1) or "") if found else ""

    outside = [path for path in paths if not group_of(path)]
    if len(outside) == len(paths):
        raise ConfigError(
            f"--group-by {rule!r}: finds nothing in any path, such as {paths[0].as_posix()}"
        )
    if outside:
        logger.warning(
            "--group-by %r finds nothing in %d paths, such as %s; they make a group without a name",
            rule,
            len(outside),
            outside[0],
        )
    return group_of
