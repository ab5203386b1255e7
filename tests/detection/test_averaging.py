import pytest

pytest.importorskip("torch")
pytest.importorskip("detectron2")

import torch

from mito_instance.detection.averaging import WeightAverage


def stepped(average, network, values):
    for value in values:
        torch.nn.init.constant_(network.weight, value)
        average.after_step()


def test_average_follows_the_weights():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    average = WeightAverage(network, 0.5)
    stepped(average, network, [1.0, 2.0])
    # The first step keeps 2/11 of the start, the second 3/12 of the average.
    expected = 3 / 12 * (9 / 11) + 9 / 12 * 2.0
    assert average.average["weight"].item() == pytest.approx(expected)


def test_network_holds_the_average_inside_the_context_only():
    network = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.9)
    stepped(average, network, [1.0, 3.0])
    with average.applied():
        assert 1.0 < network.weight.item() < 3.0
    assert network.weight.item() == 3.0


def test_average_starts_from_the_loaded_weights():
    network = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.9)
    torch.nn.init.constant_(network.weight, 7.0)
    average.before_train()
    assert average.average["weight"].item() == 7.0


def test_state_goes_through_a_checkpoint():
    network = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.9)
    stepped(average, network, [1.0, 3.0])
    other = WeightAverage(torch.nn.Linear(1, 1, bias=False), 0.9)
    other.load_state_dict(average.state_dict())
    other.before_train()
    assert other.n_updates == 2
    assert torch.equal(other.average["weight"], average.average["weight"])
