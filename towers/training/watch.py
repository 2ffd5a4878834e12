"""Watching activations: the standard deviation of what each layer puts out, and which one blew up first.

A network that diverges does so in one layer before the loss shows it. Hooks are there only inside `with`, so a watched
step costs one pass over each output and the other steps nothing; watch the first step and then one in a hundred.
"""

from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from towers.config import TowersError

BOUND = 1e3  # activations of a sane network stand between .01 and 30 here
REMEDY = "lower training.learning_rate, lengthen training.warmup_steps or set training.clip_norm"


class ActivationWatch:
    """sqrt(mean((x - mean x)^2)) over all entries x of each layer's output, the largest of its calls.

        watch = ActivationWatch(model)
        with watch:
            loss = ...                  # raises at the end if a layer blew up
        watch.report()                  # {"user.up": 0.71, ...} in the order in which layers answered

    Layers are the modules inside the model that put out a tensor; empty outputs are passed over.
    """

    def __init__(self, model: nn.Module, bound: float = BOUND) -> None:
        self._layers = [(name, module) for name, module in model.named_modules() if name]
        self._bound = bound
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._stds: dict[str, Tensor] = {}

    def __enter__(self) -> Self:
        self._stds = {}
        self._hooks = [module.register_forward_hook(self._seen(name)) for name, module in self._layers]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        if kind is None:
            self.check()

    def _seen(self, name: str) -> Any:
        @torch.no_grad()
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor) or not output.numel() or not output.is_floating_point():
                return
            std = output.float().std(correction=0)
            # torch.maximum keeps NaN, so that what was once not finite stays so.
            self._stds[name] = torch.maximum(self._stds[name], std) if name in self._stds else std

        return hook

    def report(self) -> dict[str, float]:
        """The last watched step's standard deviation by layer. Waits for the device, once."""
        if not self._stds:
            return {}
        return dict(zip(self._stds, torch.stack(list(self._stds.values())).tolist(), strict=True))

    def check(self) -> None:
        """
        Raises:
            TowersError: a layer's deviation is not finite or beyond the bound; names the first such and the remedy.
        """
        for name, std in self.report().items():
            if not std <= self._bound:  # also NaN
                raise TowersError(f"the activations of layer {name} blew up (standard deviation {std:.3g}): {REMEDY}")
