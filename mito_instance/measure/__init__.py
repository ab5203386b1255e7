"""Counts, areas and shapes of instances, and the columns of the tables that hold them."""
