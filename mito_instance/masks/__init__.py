"""Masks of instances: run-length encoding and label images."""
