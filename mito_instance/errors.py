"""The errors that a user can cause; each message is one line: file, rule, value, remedy."""

from __future__ import annotations

from pathlib import Path


class MitoInstanceError(Exception):
    """Base of every error that is the input's fault and not ours.

    Commands print it as one line ``error: …`` and exit with 2; a batch notes it in the
    failed input's row and goes on.
    """


class ImageError(MitoInstanceError):
    """An image file cannot be read, or holds something that is no micrograph."""


class AnnotationError(MitoInstanceError):
    """A mask, an ROI or a COCO JSON breaks a rule of its format or does not fit its image."""


class OutsideError(AnnotationError):
    """An outline lies wholly outside its image, or on a page that the image does not have."""


class ConfigError(MitoInstanceError):
    """A config file, a key or a combination of options is not usable."""


class DiskFullError(ConfigError):
    """No result can be written any more; a batch stops, and goes on when there is room again."""


class WeightsError(MitoInstanceError):
    """Model weights are missing, unsafe to load, or do not fit the model."""


class MissingDependencyError(MitoInstanceError):
    """A command needs a package that is not installed."""


_OUT_OF_MEMORY = (
    *("out of memory", "not enough memory", "can't allocate memory"),
    "status_alloc_failed",  # cuBLAS and cuDNN
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the computer, or of a GPU, was not enough.

    PyTorch says so in the text of a ``RuntimeError``: of a GPU, of Windows, of Linux.
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY)


def reason_of(error: BaseException, path: Path) -> str:
    """One line on a page that could not be done, which names the file."""
    if isinstance(error, MitoInstanceError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"{path}: not enough memory for this page; close other programs"
    return f"{path}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
