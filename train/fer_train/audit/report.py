"""The audit as its JSON report holds it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from fer_train.audit.audit import Audit, Image, Leak, duplicates_between, labels_conflict, near_duplicates_between

SCHEMA = 2


@dataclass(frozen=True)
class DuplicateImages:
    """One picture that several images share."""

    images: list[Image]
    labels_conflict: bool
    """Whether they have different labels."""


@dataclass(frozen=True)
class NearDuplicates:
    """Two pictures of one photo, each with all its images."""

    first: list[Image]
    second: list[Image]
    correlation: float
    """Of their pixels, up to 1."""
    mirrored: bool
    """Whether one is the other's mirror image."""
    labels_conflict: bool
    """Whether they have different labels."""


@dataclass(frozen=True)
class AuditReport:
    """All findings."""

    schema: int
    fingerprint: str
    """Fingerprint of the dataset."""
    class_counts: dict[str, dict[str, int]]
    """Images per split and class."""
    class_imbalance: dict[str, float]
    """Per split: the largest class over the smallest that has images."""
    evaluation_images: int
    """Validation and test images."""
    leaked_images: int
    """Of these, the ones that stand in an earlier split too."""
    leaks: list[Leak]
    duplicates: list[DuplicateImages]
    duplicates_between: dict[str, int]
    """Pictures by the pair of splits that share them."""
    near_duplicates: list[NearDuplicates]
    near_duplicates_between: dict[str, int]
    """Pairs by their two splits."""
    blank: list[Image]
    undecodable: list[str]
    """Names of files."""

    def to_json(self) -> str:
        """The report as text."""
        return json.dumps(asdict(self), indent=1) + "\n"


def report(found: Audit, fingerprint: str) -> AuditReport:
    """The report of an audit; fingerprint: of the dataset."""
    return AuditReport(
        schema=SCHEMA,
        fingerprint=fingerprint,
        class_counts=found.class_counts,
        class_imbalance={split: round(imbalance(counts), 3) for split, counts in found.class_counts.items()},
        evaluation_images=found.evaluation_images,
        leaked_images=found.leaked_images,
        leaks=found.leaks,
        duplicates=[DuplicateImages(list(group), labels_conflict(group)) for group in found.duplicates],
        duplicates_between=tally(map(duplicates_between, found.duplicates)),
        near_duplicates=[
            NearDuplicates(
                list(pair.first),
                list(pair.second),
                round(pair.correlation, 4),
                pair.mirrored,
                labels_conflict(pair.first + pair.second),
            )
            for pair in found.near_duplicates
        ],
        near_duplicates_between=tally(map(near_duplicates_between, found.near_duplicates)),
        blank=found.blank,
        undecodable=found.undecodable,
    )


def imbalance(counts: dict[str, int]) -> float:
    """The largest class by the smallest that has images."""
    return max(counts.values()) / min(count for count in counts.values() if count)


def tally(between: Iterable[set[str]]) -> dict[str, int]:
    """How often each pair of splits occurs, sorted by name."""
    return dict(sorted(Counter(place for places in between for place in places).items()))
