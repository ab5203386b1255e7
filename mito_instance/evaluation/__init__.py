"""Evaluation: how well predicted instances agree with the truth, image by image and in all."""
