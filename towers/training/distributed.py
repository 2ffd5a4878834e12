"""Training by several processes, started by torchrun: gloo on CPUs, nccl on GPUs.

    torchrun --nproc-per-node 2 -m cli.app towers train        # RANK, WORLD_SIZE and LOCAL_RANK say who one is

Every rank holds all data and the same weights, takes its part of each batch, and encodes it. The vectors are then
gathered, so every rank has the loss of the whole batch, in-batch negatives included, and the averaged gradients are
those of one process with that batch (up to rounding, and to dropout, which each rank draws for its own part):

    gather     forward: x_1 .. x_R joined; backward: R times the gradient of one's own part, nothing is sent
    average    (1 / R) sum over ranks of the gradients. A weight below the gather gets R / R times the sum of its parts,
               one in the loss itself (a learnt temperature) the mean of R equal gradients: both right

It is written out rather than left to DistributedDataParallel, which wraps one forward and knows sparse gradients of an
embedding only under gloo. Sparse ones travel as their rows and values, so a step costs what its rows cost. The network
is light: all dense gradients go in one message after the backward pass.

Randomness: what all ranks must agree on (the order of events) needs a generator of its own, never the global one.
Only rank 0 writes and reports; what follows from a measurement is rank 0's word (`agreed`).
"""

import atexit
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

CPU = torch.device("cpu")
NONE, DENSE, SPARSE = 0, 1, 2  # kinds of gradient


@dataclass(frozen=True)
class World:
    """Who takes part. Of one process, all of this does nothing."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def part(self, batch: Tensor) -> Tensor:
        """This rank's part of a batch (B,): every size-th, so that parts differ by one row at most."""
        return batch[self.rank :: self.size]

    def gather(self, x: Tensor) -> Tensor:
        """(B_r, ...) of every rank joined in the order of ranks: (B, ...). Differentiable; see above."""
        if self.size == 1:
            return x
        out: Tensor = _Gather.apply(x, self)  # type: ignore[no-untyped-call]
        return out

    @torch.no_grad()
    def average(self, model: nn.Module) -> None:
        """Put the mean over ranks in place of each gradient; a rank without one counts as zeros."""
        if self.size == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        kinds = torch.tensor([_kind(parameter) for parameter in parameters], device=self.device)
        dist.all_reduce(kinds, dist.ReduceOp.MAX)  # a rank whose part had no row of a table still takes part
        dense = []
        for parameter, kind in zip(parameters, kinds.tolist(), strict=True):
            if kind == SPARSE:
                parameter.grad = self._sparse_mean(parameter)
            elif kind == DENSE:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                dense.append(parameter.grad)
        if dense:
            flat = torch.cat([grad.flatten() for grad in dense])
            dist.all_reduce(flat)
            means = torch.split(flat / self.size, [grad.numel() for grad in dense])
            for grad, mean in zip(dense, means, strict=True):
                grad.copy_(mean.view_as(grad))

    @torch.no_grad()
    def share(self, model: nn.Module) -> None:
        """Give every rank rank 0's weights and buffers."""
        if self.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.data, 0)

    def agreed(self, *numbers: float) -> tuple[float, ...]:
        """Rank 0's numbers, on every rank."""
        if self.size == 1:
            return numbers
        said = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.broadcast(said, 0)
        return tuple(said.tolist())

    def _sparse_mean(self, parameter: nn.Parameter) -> Tensor:
        if parameter.grad is None:
            rows = torch.zeros(0, dtype=torch.int64, device=parameter.device)
            values = parameter.new_zeros(0, *parameter.shape[1:])
        else:
            grad = parameter.grad.coalesce()
            rows, values = grad.indices()[0], grad.values()
        parts = self._joined(rows), self._joined(values)
        rows, values = torch.cat(parts[0]), torch.cat(parts[1]) / self.size
        return torch.sparse_coo_tensor(rows[None], values, parameter.shape, check_invariants=False).coalesce()

    def _joined(self, x: Tensor) -> list[Tensor]:
        """x (n_r, ...) of every rank, of any lengths: they travel padded to the longest."""
        mine = torch.tensor([len(x)], device=x.device)
        lengths = [torch.zeros_like(mine) for _ in range(self.size)]
        dist.all_gather(lengths, mine)
        sizes = [int(length) for length in lengths]
        padded = x.new_zeros(max(sizes), *x.shape[1:])
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return [part[:size] for part, size in zip(parts, sizes, strict=True)]


def _kind(parameter: nn.Parameter) -> int:
    if parameter.grad is None:
        return NONE
    return SPARSE if parameter.grad.is_sparse else DENSE


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, world: World) -> Tensor:
        parts = world._joined(x)
        sizes = [len(part) for part in parts]
        ctx.start, ctx.length, ctx.size = sum(sizes[: world.rank]), len(x), world.size
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[ctx.start : ctx.start + ctx.length] * ctx.size, None


def world() -> World:
    """The world that torchrun started this process in; a world of one where it was started in any other way.

    The group is joined once and left when the process ends: to join it again would race with who is still leaving.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else CPU
    if cuda:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
        atexit.register(dist.destroy_process_group)
    return World(dist.get_rank(), dist.get_world_size(), device)
