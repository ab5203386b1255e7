"""Annotations made by people, in the forms they come in, to instances of their images."""
