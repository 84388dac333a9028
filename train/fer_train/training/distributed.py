"""One process or several: what torchrun's environment says, and what the processes exchange."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fer_runtime.errors import FerError

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes that train together. rank: ours, 0 <= rank < world; device: where this one computes."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process prints, validates and writes files."""
        return self.rank == 0

    def shard(self, batch: Tensor) -> Tensor:
        """Our part of a batch of indices: the parts are disjoint, and together they are the batch."""
        return batch[self.rank :: self.world]

    def parallel(self, network: nn.Module) -> nn.Module:
        """`network`, its gradients averaged over all processes in each backward pass."""
        return network if self.world == 1 else nn.parallel.DistributedDataParallel(network)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of all processes' `values`, in every process."""
        if self.world > 1:
            dist.all_reduce(values)
        return values / self.world

    def agreed(self, value: T) -> T:
        """The first process's `value`, in every process."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def group(wanted: str) -> Iterator[Group]:
    """A group of this process alone, or of those that torchrun started.

    wanted: "cpu", "cuda", or "auto" for a GPU where there is one. Raises FerError when the GPU asked for is not there.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    device = _device(wanted)
    if world == 1:
        yield Group(device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(device, rank, world)
    finally:
        # DistributedDataParallel holds the group in reference cycles; one still held at exit may abort the process.
        gc.collect()
        dist.destroy_process_group()


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise FerError("--device cuda: torch finds no GPU here; use --device cpu or auto")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device
