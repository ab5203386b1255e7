"""Seeded synthetic electron micrographs with exact truth, for tests, demos and benchmarks."""

from mito_instance.synthetic.dataset import TRUTH_NAME, write_dataset
from mito_instance.synthetic.micrograph import Micrograph, make_micrograph

__all__ = ["TRUTH_NAME", "Micrograph", "make_micrograph", "write_dataset"]
