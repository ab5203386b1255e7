"""OpenCV's decoders, without their own words on stderr: what fails is said in one line of ours."""

from __future__ import annotations

import os
from types import ModuleType


def decoders() -> ModuleType:
    """The module `cv2`; silent, unless ``OPENCV_LOG_LEVEL`` asks for its words."""
    import cv2  # takes time to load

    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
