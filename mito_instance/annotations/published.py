"""The published data sets that this toolkit prepares: terms, citations and expected files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file that the owner of a data set publishes.

    Args:
        url: https address.
        name: its path in the folder of the data set.
        max_bytes: a larger download, or a larger member of a zip, is refused.
        md5: published checksum; empty where the owner gives none.
        members: of a zip, the members that are unpacked, each with its path in the folder.
    """

    url: str
    name: str
    max_bytes: int
    md5: str = ""
    members: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """A pair of multi-page files with fixed names.

    Args:
        part: name of the part.
        images: file of the micrographs.
        masks: file of the masks.
        size_phw: pages, height and width in pixels as published.
    """

    part: str
    images: str
    masks: str
    size_phw: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is known of a data set for certain.

    Args:
        title: name and what it shows.
        terms: licence, or where to read it.
        citation: what to cite.
        tree: expected files, one line each.
        partner_folders: names of the folder of masks or ROIs beside ``images``.
        holds_rois: whether these are ImageJ ROIs instead of masks.
        pixel_size_nm: edge length of a pixel; None when the owner does not state it.
        min_area_px: smaller instances are specks of the annotation.
        stacks: multi-page files with fixed names.
        files: what ``--download`` fetches; empty where nothing can be fetched by address.
    """

    title: str
    terms: str
    citation: str
    tree: tuple[str, ...]
    partner_folders: tuple[str, ...] = ("labels", "label", "masks", "mask")
    holds_rois: bool = False
    pixel_size_nm: float | None = None
    min_area_px: int = 1
    stacks: tuple[Stack, ...] = ()
    files: tuple[RemoteFile, ...] = ()


_EPFL_URL = (
    "https://documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/%20ElectronMicroscopy_Hippocampus/"
)
_EPFL_SIZE = (165, 768, 1024)
_EPFL_MAX_BYTES = 200_000_000  # 165 x 768 x 1024 bytes are 130 MB

EPFL = DataSet(
    title="EPFL CA1 hippocampus, FIB-SEM, 5 x 5 x 5 nm, binary masks of mitochondria",
    terms="see https://www.epfl.ch/labs/cvlab/data/data-em/",
    citation="A. Lucchi, Y. Li, P. Fua, Learning for structured prediction using approximate "
    "subgradient descent with working sets, CVPR 2013",
    tree=(
        "training.tif and training_groundtruth.tif, 165 pages of 1024 x 768 px each",
        "testing.tif and testing_groundtruth.tif, likewise",
        "or images/ and masks/ with one slice a file",
    ),
    pixel_size_nm=5.0,
    min_area_px=25,
    stacks=(
        Stack("train", "training.tif", "training_groundtruth.tif", _EPFL_SIZE),
        Stack("test", "testing.tif", "testing_groundtruth.tif", _EPFL_SIZE),
    ),
    files=tuple(
        RemoteFile(f"{_EPFL_URL}{name}", name, _EPFL_MAX_BYTES)
        for name in (
            "training.tif",
            "training_groundtruth.tif",
            "testing.tif",
            "testing_groundtruth.tif",
        )
    ),
)

_SNEMI_MAX_BYTES = 250_000_000  # 185.6 MiB are published; an image has 105 MB

SNEMI = DataSet(
    title="SNEMI3D mouse cortex, serial-section EM, with labels of mitochondria of your own",
    terms="CC-BY-4.0, see https://zenodo.org/records/7142003; the labels published there are of "
    "neurites, not of mitochondria",
    citation="N. Kasthuri et al., Saturated reconstruction of a volume of neocortex, Cell 2015",
    tree=("train/images and train/labels", "valid/images and valid/labels", "test/ likewise"),
    files=(
        RemoteFile(
            "https://zenodo.org/records/7142003/files/snemi.zip?download=1",
            "snemi.zip",
            _SNEMI_MAX_BYTES,
            md5="3d25a7025f66698f33c7850ace885939",
            members=(
                ("image/train-input.tif", "train/images/train-input.tif"),
                ("image/test-input.tif", "test/images/test-input.tif"),
            ),
        ),
    ),
)

_CDEEP3M_URL = "https://raw.githubusercontent.com/CRBS/cdeep3m2"
_CDEEP3M_PARTS = (  # part, commit that holds its files, slices
    ("training", "e11cb7c377ea530abb86c29cf000438e2bb86239", range(20, 40)),
    ("validation", "4f043e8ff56677dc5dca5632b59816f529917666", range(50, 60)),
)
_CDEEP3M_MAX_BYTES = 4_000_000  # 1024 x 1024 px take up to 1 MB

CDEEP3M = DataSet(
    title="CDeep3M mitochondria sample, binary masks 0/1 and 0/255",
    terms="UC Regents: educational, research and non-profit use; see LICENSE in "
    "https://github.com/CRBS/cdeep3m2, where the folder mito_testsample holds the files",
    citation="M. G. Haberl et al., CDeep3M: plug-and-play cloud-based deep learning for image "
    "segmentation, Nature Methods 2018",
    tree=(
        "training/images and training/labels, validation/ likewise",
        "or images/ and labels/ with one slice a file",
    ),
    files=tuple(
        RemoteFile(
            f"{_CDEEP3M_URL}/{commit}/mito_testsample/{part}/{name}.{number:03d}.png",
            f"{part}/{name}.{number:03d}.png",
            _CDEEP3M_MAX_BYTES,
        )
        for part, commit, numbers in _CDEEP3M_PARTS
        for name in ("images/images", "labels/mitos_3D")
        for number in numbers
    ),
)

IMAGEJ = DataSet(
    title="your own images, outlined in ImageJ or Fiji",
    terms="yours",
    citation="C. A. Schneider, W. S. Rasband, K. W. Eliceiri, NIH Image to ImageJ: 25 years of "
    "image analysis, Nature Methods 2012",
    tree=("images/ and rois/", "or folders, one a part, with images/ and rois/ in each"),
    partner_folders=("rois", "roi"),
    holds_rois=True,
)
