"""The number of proposals follows the image; nothing else differs from Detectron2."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from detectron2.modeling.proposal_generator import RPN  # noqa: E402
from detectron2.structures import Boxes  # noqa: E402

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.proposals import MitoRPN  # noqa: E402

IMAGE_HW = (64, 80)
SURE, UNSURE = 3.0, -3.0  # logits on both sides of the objectness 0.3


def generator(light_config, tiny_overrides, **limits) -> MitoRPN:
    words = [str(word) for pair in limits.items() for word in pair]
    words = [word.replace("__", ".") for word in words]
    cfg = load_config(light_config, [*tiny_overrides, *words])
    found = build_network(cfg).eval().proposal_generator
    assert isinstance(found, MitoRPN)
    return found


def grid(n: int, logit: float, step: int = 4) -> tuple[Boxes, torch.Tensor, torch.Tensor]:
    """N anchors of 3 × 3 px that do not touch, all of one objectness, and no deltas."""
    columns = IMAGE_HW[1] // step
    x = torch.arange(n) % columns * step
    y = torch.arange(n) // columns * step
    anchors = Boxes(torch.stack([x, y, x + 3, y + 3], dim=1).float())
    return anchors, torch.full((1, n), logit), torch.zeros(1, n, 4)


def propose(rpn, *levels):
    anchors, logits, deltas = zip(*levels, strict=True)
    return rpn.predict_proposals(list(anchors), list(logits), list(deltas), [IMAGE_HW])


@pytest.fixture
def limits():
    keys = {"MITO.MIN_OBJECTNESS": 0.3, "MITO.MIN_PROPOSALS": 20}
    return keys | {"MODEL.RPN.PRE_NMS_TOPK_TEST": 500, "MODEL.RPN.POST_NMS_TOPK_TEST": 500}


@pytest.mark.parametrize(
    ("n_sure", "n_unsure", "expected"),
    [
        pytest.param(150, 50, 150, id="all-that-are-sure"),
        pytest.param(5, 100, 20, id="the-best-where-few-are-sure"),
        pytest.param(0, 7, 7, id="fewer-than-the-least-number"),
        pytest.param(0, 0, 0, id="none"),
    ],
)
def test_number_of_proposals(light_config, tiny_overrides, limits, n_sure, n_unsure, expected):
    rpn = generator(light_config, tiny_overrides, **limits)
    anchors, _, deltas = grid(n_sure + n_unsure, 0.0)
    logits = torch.cat([torch.full((n_sure,), SURE), torch.full((n_unsure,), UNSURE)])[None]
    (found,) = propose(rpn, (anchors, logits, deltas))
    assert len(found) == expected
    assert (found.objectness_logits[: min(n_sure, expected)] == SURE).all()


def test_levels_together_have_the_least_number(light_config, tiny_overrides, limits):
    rpn = generator(light_config, tiny_overrides, **limits)
    (found,) = propose(rpn, grid(100, UNSURE), grid(100, UNSURE - 1))
    assert len(found) == 20
    assert (found.objectness_logits == UNSURE).all()


def test_upper_bounds_hold(light_config, tiny_overrides, limits):
    limits |= {"MODEL.RPN.PRE_NMS_TOPK_TEST": 60, "MODEL.RPN.POST_NMS_TOPK_TEST": 90}
    rpn = generator(light_config, tiny_overrides, **limits)
    (found,) = propose(rpn, grid(100, SURE))
    assert len(found) == 60
    (found,) = propose(rpn, grid(100, SURE), grid(100, SURE))
    assert len(found) == 90


def test_what_is_no_number_is_left_out(light_config, tiny_overrides, limits):
    rpn = generator(light_config, tiny_overrides, **limits)
    anchors, logits, deltas = grid(30, SURE)
    logits[0, 3], deltas[0, 5, 0] = torch.nan, torch.inf
    (found,) = propose(rpn, (anchors, logits, deltas))
    assert len(found) == 28


@pytest.mark.parametrize("seed", range(5))
def test_without_limits_the_proposals_are_those_of_detectron2(light_config, tiny_overrides, seed):
    limits = {"MITO.MIN_OBJECTNESS": 0.0, "MODEL.RPN.PRE_NMS_TOPK_TEST": 40}
    limits["MODEL.RPN.POST_NMS_TOPK_TEST"] = 50
    rpn = generator(light_config, tiny_overrides, **limits)
    random = torch.Generator().manual_seed(seed)
    anchors = [grid(n, 0.0, step)[0] for n, step in ((200, 4), (70, 7), (3, 9))]
    logits = [torch.randn(2, len(level), generator=random) for level in anchors]
    deltas = [torch.randn(2, len(level), 4, generator=random) for level in anchors]
    sizes = [IMAGE_HW, (50, 60)]
    ours = rpn.predict_proposals(anchors, logits, deltas, sizes)
    theirs = RPN.predict_proposals(rpn, anchors, logits, deltas, sizes)
    for one, other in zip(ours, theirs, strict=True):
        assert len(one) > 20
        assert torch.equal(one.proposal_boxes.tensor, other.proposal_boxes.tensor)
        assert torch.equal(one.objectness_logits, other.objectness_logits)
