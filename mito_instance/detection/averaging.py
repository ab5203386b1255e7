"""A running mean of the weights, which generalises better than the last step's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from detectron2.engine import HookBase
from torch import nn


class WeightAverage(HookBase):
    """Exponential moving average of a network's weights, updated after every step.

    The average forgets its start: until 1/(1 - decay) steps have passed it keeps less of itself.
    Source: Polyak and Juditsky 1992; the warm-up as in TensorFlow's ExponentialMovingAverage.

    Args:
        network: the bare network.
        decay: share kept at each step, in (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = network
        self.decay = decay
        self.n_updates = 0
        self.average = {name: value.detach().clone() for name, value in self._weights()}

    def _weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                yield name, value

    def before_train(self) -> None:
        """Start from the weights that were loaded, unless a checkpoint brought an average."""
        if not self.n_updates:
            self.average = {name: value.detach().clone() for name, value in self._weights()}

    @torch.no_grad()
    def after_step(self) -> None:
        """Take the step's weights into the average."""
        self.n_updates += 1
        kept = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        for name, value in self._weights():
            self.average[name].lerp_(value, 1.0 - kept)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The network holds the averaged weights inside this context."""
        current = {name: value.detach().clone() for name, value in self._weights()}
        self.network.load_state_dict(self.average, strict=False)
        try:
            yield
        finally:
            self.network.load_state_dict(current, strict=False)

    def state_dict(self) -> dict[str, object]:
        """For the checkpoint."""
        return {"n_updates": self.n_updates, "average": self.average}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """From a checkpoint."""
        n_updates, average = state["n_updates"], state["average"]
        if isinstance(n_updates, int) and isinstance(average, Mapping):
            self.n_updates = n_updates
            for name, value in average.items():
                self.average[name].copy_(value)
