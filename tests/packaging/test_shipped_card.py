"""The card of the model in the package is that of the file beside it."""

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "mito_instance" / "models" / "mask_rcnn_light"
MOST_BYTES = 25_000_000


def test_the_card_names_the_weights_that_are_there():
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    weights = (FOLDER / "model.safetensors").read_bytes()
    assert f"| weights | SHA-256 `{hashlib.sha256(weights).hexdigest()}` |" in card
    (size_mb,) = re.findall(r"([\d.]+) MB, stored in fp16", card)
    assert float(size_mb) == round(len(weights) / 1e6, 1)
    assert len(weights) <= MOST_BYTES


def test_the_card_names_the_threshold_that_is_used():
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    config = (FOLDER / "config.yaml").read_text(encoding="utf-8")
    (threshold,) = re.findall(r"^  SCORE_THRESHOLD: ([\d.]+)$", config, flags=re.MULTILINE)
    assert f"a score of {threshold} or more counts" in card
