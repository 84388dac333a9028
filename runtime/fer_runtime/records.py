"""Dataclasses out of JSON, each field checked against its annotation."""

from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def from_plain(kind: type[Record], plain: object) -> Record:
    """The dataclass `kind` out of plain data, as json.loads gives it; keys that it does not have are passed over.

    Its fields may be dataclasses, lists, tuples of a fixed length, dicts with text as keys, text, numbers, truth
    values and None, and unions of these. Raises ValueError, which names the field, for what is missing or of another
    type; NaN and infinity, which JSON does not have, are no numbers.
    """
    return cast(Record, _read(kind, plain, ""))


def _read(kind: Any, plain: object, name: str) -> object:
    of, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(plain, dict):
        return _dataclass(kind, plain, name)
    if of is UnionType:
        return _first_that_fits(inner, plain, name)
    if of is list and isinstance(plain, list):
        return [_read(inner[0], value, f"{name}[{at}]") for at, value in enumerate(plain)]
    if of is tuple and isinstance(plain, list) and inner[-1:] == (...,):
        return tuple(_read(inner[0], value, f"{name}[{at}]") for at, value in enumerate(plain))
    if of is tuple and isinstance(plain, list) and len(plain) == len(inner):
        return tuple(_read(each, plain[at], f"{name}[{at}]") for at, each in enumerate(inner))
    if of is dict and isinstance(plain, dict):
        return {key: _read(inner[1], value, f"{name}.{key}") for key, value in plain.items()}
    if kind is float and type(plain) is int:
        return float(plain)
    if kind in (str, int, float, bool, NoneType) and type(plain) is kind and (kind is not float or isfinite(plain)):  # type: ignore[arg-type]
        return plain
    wanted = getattr(kind, "__name__", None) if of is None else str(kind)
    raise ValueError(f"{name.lstrip('.') or 'it'} is {str(plain)[:40]!r}, expected {wanted}")


def _dataclass(kind: Any, plain: dict[str, object], name: str) -> object:
    hints = get_type_hints(kind)
    found = {}
    for field in fields(kind):
        if field.name in plain:
            found[field.name] = _read(hints[field.name], plain[field.name], f"{name}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{f'{name}.{field.name}'.lstrip('.')} is missing")
    return kind(**found)


def _first_that_fits(kinds: tuple[Any, ...], plain: object, name: str) -> object:
    """None where that is allowed, else the first type that fits; the last one's error where none does."""
    if plain is None and NoneType in kinds:
        return None
    *others, last = [kind for kind in kinds if kind is not NoneType]
    for kind in others:
        try:
            return _read(kind, plain, name)
        except ValueError:
            continue
    return _read(last, plain, name)
