"""Find, count and measure every single mitochondrion in electron micrographs."""

__version__ = "0.1.0"
