import math

import pytest

torch = pytest.importorskip("torch")

from mito_instance.semantic.losses import (  # noqa: E402
    binary_cross_entropy,
    foreground_losses,
    soft_dice,
)

HALF = [0.0, 0.0, 0.0, 0.0]  # logits of probability 1/2
SURE = [30.0, 30.0, -30.0, -30.0]


@pytest.mark.parametrize(
    ("logits", "target", "valid", "bce", "dice"),
    [
        # Dice: 1 - (2·½·2 + 1) / (4·½ + 2 + 1)
        pytest.param(HALF, [1, 1, 0, 0], [1, 1, 1, 1], math.log(2), 0.4, id="undecided"),
        pytest.param(SURE, [1, 1, 0, 0], [1, 1, 1, 1], 0.0, 0.0, id="right"),
        # 1 - (0 + 1) / (2 + 2 + 1)
        pytest.param(SURE, [0, 0, 1, 1], [1, 1, 1, 1], 30.0, 0.8, id="wrong"),
        pytest.param(SURE, [1, 1, 1, 1], [1, 1, 0, 0], 0.0, 0.0, id="wrong-in-the-padding"),
        pytest.param([-30.0] * 4, [0, 0, 0, 0], [1, 1, 1, 1], 0.0, 0.0, id="nothing-there"),
        pytest.param(SURE, [0, 0, 1, 1], [0, 0, 0, 0], 0.0, 0.0, id="nothing-valid"),
    ],
)
def test_values_by_hand(logits, target, valid, bce, dice):
    for shape in ((1, 1, 2, 2), (1, 1, 1, 2, 2)):
        images = [torch.tensor(row).reshape(shape) for row in (logits, target, valid)]
        arguments = (images[0], images[1].float(), images[2].bool())
        assert binary_cross_entropy(*arguments).item() == pytest.approx(bce, abs=1e-6)
        assert soft_dice(*arguments).item() == pytest.approx(dice, abs=1e-6)


def test_a_loss_of_weight_0_is_left_out():
    image = torch.zeros(1, 1, 2, 2)
    losses = foreground_losses(image, image, image >= 0, bce_weight=0.0, dice_weight=2.0)
    # 1 - 1 / (2 + 1), twice
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {"loss_dice": 4 / 3}
    )


def test_the_hardest_pixels_alone_count():
    logits = torch.tensor([[-9.0, -9.0, -9.0, 2.0, 7.0, 100.0]])
    target = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0, 0.0]])
    valid = torch.tensor([[True, True, True, True, True, False]])
    hardest = binary_cross_entropy(logits, target, valid, hard_fraction=0.2)
    assert hardest.item() == pytest.approx(math.log1p(math.exp(2.0)))
    assert hardest > binary_cross_entropy(logits, target, valid)
    nothing = binary_cross_entropy(logits, target, torch.zeros_like(valid), hard_fraction=0.2)
    assert nothing.item() == 0.0
