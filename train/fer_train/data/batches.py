"""From indices to batches of pixels on the device: out of memory, or streamed from disk by workers."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fer_runtime.data.dataset import Faces

AT_ONCE = 128  # faces per call of a network; 512 do not fit into a core's cache: three times as long per face


class Batches:
    """The training faces' pixels, to be asked for by index."""

    def __init__(self, faces: Faces, device: torch.device) -> None:
        """Pixels in memory move to the device whole; those that are spooled on disk stay there."""
        self._device = device
        self._spooled = faces.pixels if faces.spool else None
        self._pixels = None if self._spooled is not None else torch.from_numpy(faces.pixels).to(device)

    def of(self, order: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each int64 tensor of indices in `order`: itself and its faces, uint8 [n, 1, h, w], both on the device."""
        if self._pixels is not None:
            for index in order:
                index = index.to(self._device)
                yield index, self._pixels[index]
            return
        assert self._spooled is not None
        loader: DataLoader[Tensor] = DataLoader(
            _Spooled(self._spooled),
            batch_sampler=[index.tolist() for index in order],
            num_workers=min(4, os.cpu_count() or 1),
            collate_fn=_as_it_is,
            pin_memory=self._device.type == "cuda",
        )
        for index, pixels in zip(order, loader, strict=True):
            yield index.to(self._device), pixels.to(self._device, non_blocking=True)


def epoch_order(faces: Faces, shares: tuple[float, ...], generator: torch.Generator | None = None) -> Tensor:
    """The faces of one epoch in random order, int64 [n]: each once, or with `shares` as many of each data set.

    A set with a larger share than its number of faces is gone through again; one with a smaller share shows others
    in the next epoch. Faces of a transfer set come once. shares: sum to 1; above 0 for a set with faces alone.
    """
    if not shares:
        return torch.randperm(len(faces), generator=generator)
    assert faces.sources is not None
    sources = torch.from_numpy(faces.sources)
    chosen = [torch.nonzero(sources < 0)[:, 0]]
    ends = (torch.tensor(shares, dtype=torch.float64).cumsum(0) * (len(faces) - len(chosen[0]))).round().long()
    for number, count in enumerate(ends.diff(prepend=torch.zeros(1, dtype=torch.long)).tolist()):
        own = torch.nonzero(sources == number)[:, 0]
        rounds = [own[torch.randperm(len(own), generator=generator)] for _ in range(-(-count // max(1, len(own))))]
        chosen += [torch.cat(rounds)[:count]] if rounds else []
    order = torch.cat(chosen)
    return order[torch.randperm(len(order), generator=generator)]


class _Spooled(Dataset[Tensor]):
    """A whole batch at a time: one read per face, one tensor to hand over."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels

    def __getitems__(self, index: list[int]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._pixels[index]))


def _as_it_is(batch: Any) -> Any:
    return batch
