"""Every batch here is of a model that needs no network."""

import pytest

from mito_instance.cli import quantify
from tests.dark_objects import DarkObjects


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())
