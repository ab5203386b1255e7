"""What README.md advises fits the model in the package."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_advised_score_thresholds_lie_on_both_sides_of_the_models_own():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    own, missed, marked = re.search(
        r"The score threshold is ([\d.]+); where objects are missed, try "
        r"`--score-threshold ([\d.]+)`; where too much is marked, ([\d.]+);",
        text,
    ).groups()
    model = ROOT / "mito_instance" / "models" / "mask_rcnn_light"
    config = yaml.safe_load((model / "config.yaml").read_text(encoding="utf-8"))
    assert float(own) == config["MITO"]["SCORE_THRESHOLD"]
    assert float(missed) < float(own) < float(marked)
