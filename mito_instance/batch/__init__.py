"""Many images through a model: each page once, whatever happens to the others."""
