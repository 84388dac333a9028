"""Class names that mean the same expression in different data: anger and angry, happiness and happy."""

from collections import defaultdict
from collections.abc import Sequence

from fer_runtime.data.folder_names import NUMBERED_CLASS, PLAIN, words_of
from fer_runtime.errors import FerError

SYNONYMS = (
    {"angry", "anger", "ang"},
    {"contempt", "contemptuous", "con"},
    {"disgust", "disgusted", "dis"},
    {"fear", "fearful", "afraid", "scared", "fea"},
    {"happy", "happiness", "joy", "joyful", "hap"},
    {"neutral", "neutrality", "natural", "neu"},
    {"sad", "sadness"},
    {"surprise", "surprised", "sur"},
)


def match(names: Sequence[str], classes: Sequence[str]) -> dict[str, str | None]:
    """Which of `classes` each of `names` is: the one of that name, else the only synonym; None for none.

    Raises FerError where two names are one class, as joy and happy.
    """
    by_expression = defaultdict(list)
    for each in classes:
        by_expression[_expression(each)].append(each)
    found: dict[str, str | None] = {}
    for name in names:
        alike = by_expression[_expression(name)] if _expression(name) is not None else []
        found[name] = name if name in classes else alike[0] if len(alike) == 1 else None
    for each in classes:
        if len(same := [name for name in names if found[name] == each]) > 1:
            raise FerError(f"the classes {' and '.join(same)} would both be {each}: put them together, or rename one")
    return found


def of_model(names: Sequence[str], labels: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Which of a model's `labels` each of the data's classes is, and a note for the user where a name differs.

    Raises FerError for a class that is none of them.
    """
    found = match(names, labels)
    meant = {name: label for name, label in found.items() if label is not None}
    if unknown := [name for name in names if name not in meant]:
        raise FerError(
            f"the data has a class {unknown[0]!r} that the model does not know: it knows {', '.join(labels)}"
        )
    return meant, [f"class names were matched by their meaning: {told(found)}"] if told(found) else []


def told(found: dict[str, str | None]) -> str:
    """What was matched by its meaning, as `anger is angry`; empty where all names are the same."""
    return ", ".join(f"{name} is {meant}" for name, meant in found.items() if meant not in (None, name))


def _expression(name: str) -> int | None:
    """The place in SYNONYMS of the one that `name` says, as Happiness, 3_happy and happy_faces do; None for another."""
    said = [word for word in words_of(name) if not (word.isdigit() or word in PLAIN or word in NUMBERED_CLASS)]
    if len(said) != 1:
        return None
    return next((at for at, group in enumerate(SYNONYMS) if said[0] in group), None)
