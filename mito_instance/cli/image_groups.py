"""The option ``--group-regex``: which images come from one animal, cell or stack."""

from __future__ import annotations

import re
from collections.abc import Callable

from mito_instance.errors import ConfigError

DEFAULT_RESAMPLES = 1000
MAX_RESAMPLES = 1_000_000
MAX_SEED = 2**63 - 1
"""Of ``--bootstrap`` and ``--seed`` of the commands that resample groups of images."""


def grouping(pattern: str | None) -> Callable[[str], str]:
    """The group of an image, by its path.

    Args:
        pattern: regular expression; its first group, or all that it matches, is the group's
            name. None: each image is its own group.

    Returns:
        Function from an image's path to its group; it raises ConfigError for an image that
        the expression does not match.

    Raises:
        ConfigError: if the expression is none.
    """
    if pattern is None:
        return str
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"--group-regex: {pattern!r} is no regular expression ({error}); correct it"
        ) from error

    def group_of(image: str) -> str:
        found = expression.search(image)
        if found is None:
            raise ConfigError(
                f"{image}: --group-regex {pattern!r} does not match this image; every image needs "
                "a group"
            )
        return (found.group(1) or "") if expression.groups else found.group()

    return group_of
