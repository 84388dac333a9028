"""The audit as its JSON report holds it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from fer_train.audit.audit import Audit, Image, Leak, identical_between, in_conflict, near_between

SCHEMA = 1


@dataclass(frozen=True)
class IdenticalImages:
    """One picture that several images share."""

    images: list[Image]
    in_conflict: bool
    """Whether they have different labels."""


@dataclass(frozen=True)
class NearPair:
    """Two pictures of one photo, each with all its images."""

    first: list[Image]
    second: list[Image]
    correlation: float
    """Of their pixels, up to 1."""
    mirrored: bool
    """Whether one is the other's mirror image."""
    in_conflict: bool
    """Whether they have different labels."""


@dataclass(frozen=True)
class AuditReport:
    """All findings."""

    schema: int
    data: str
    """Fingerprint of the dataset."""
    counts: dict[str, dict[str, int]]
    """Images per split and class."""
    imbalance: dict[str, float]
    """Per split: the largest class over the smallest that has images."""
    evaluated: int
    """Validation and test images."""
    affected: int
    """Of these, the ones that stand in an earlier split too."""
    leaks: list[Leak]
    identical: list[IdenticalImages]
    identical_between: dict[str, int]
    """Pictures by the pair of splits that share them."""
    near: list[NearPair]
    near_between: dict[str, int]
    """Pairs by their two splits."""
    blank: list[Image]
    broken: list[str]
    """Names of files."""

    def to_json(self) -> str:
        """The report as text."""
        return json.dumps(asdict(self), indent=1) + "\n"


def report(found: Audit, fingerprint: str) -> AuditReport:
    """The report of an audit; fingerprint: of the dataset."""
    return AuditReport(
        schema=SCHEMA,
        data=fingerprint,
        counts=found.counts,
        imbalance={split: round(imbalance(counts), 3) for split, counts in found.counts.items()},
        evaluated=found.evaluated,
        affected=found.affected,
        leaks=found.leaks,
        identical=[IdenticalImages(list(group), in_conflict(group)) for group in found.identical],
        identical_between=tally(map(identical_between, found.identical)),
        near=[
            NearPair(
                list(pair.first),
                list(pair.second),
                round(pair.correlation, 4),
                pair.mirrored,
                in_conflict(pair.first + pair.second),
            )
            for pair in found.near
        ],
        near_between=tally(map(near_between, found.near)),
        blank=found.blank,
        broken=found.broken,
    )


def imbalance(counts: dict[str, int]) -> float:
    """The largest class by the smallest that has images."""
    return max(counts.values()) / min(count for count in counts.values() if count)


def tally(between: Iterable[set[str]]) -> dict[str, int]:
    """How often each pair of splits occurs, sorted by name."""
    return dict(sorted(Counter(place for places in between for place in places).items()))
