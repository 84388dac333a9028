"""What a .pt2 archive would run when torch.export.load reads it.

torch unpickles samples, constants and custom objects, and it evaluates strings of the archive's JSON: sizes, guards,
operators, and names that it pastes into generated code. So whatever is not known to be harmless is reported.
"""

import ast
import contextlib
import io
import json
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

HARMLESS = ("collections.OrderedDict",)
NAME = re.compile(r"[\w.:+@-]*", re.ASCII)  # cannot call anything wherever it is pasted
TARGET = re.compile(
    r"torch\.ops\.(aten|prims|higher_order|torchvision)(\.(?!__|save\b|from_file\b)\w+){1,2}"
    r"|torch\.sym_\w+|math\.[a-z]\w*|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|eq|ne|lt|le|gt|ge)",
    re.ASCII,
)
PAYLOAD = re.compile(r"(weight|tensor|constant)_\d+", re.ASCII)
EXPRESSIONS = ("expr_str", "guards_code")  # sympy and exec evaluate these
INERT = ("metadata", "as_string", "as_strings")  # kept or quoted, never evaluated
MATHS = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Subscript, ast.Tuple, ast.keyword, ast.Load,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


def code_in(path: Path) -> list[str]:
    """What in the archive would be run, or might be, in words; empty where there is nothing of the kind."""
    members = [*_zip_members(path), *_torch_members(path)]
    told: list[str] = []
    for name, data in members:
        if re.match(r"([^/]+/)?extra(_files)?/", name):  # torch hands these out as texts
            continue
        own = name.rsplit("/", 1)[-1]
        if name.lower().endswith(".json"):
            told += [f"{what} in {own}" for what in _code_in_json(data)]
        elif name.lower().endswith((".pt", ".pkl", ".so")) and data and not _loads_safely(data):
            told.append(f"a pickle of {', '.join(pickled_names(io.BytesIO(data))[:3]) or 'unknown content'} in {own}")
    return list(dict.fromkeys(told))


def pickled_names(file: Path | io.BytesIO) -> list[str]:
    """What unpickling would import, in that order, except for what torch considers safe.

    Also empty for a pickle that torch cannot read: this describes a file, and does not prove that it is safe.
    """
    try:
        unsafe = get_unsafe_globals_in_checkpoint(file)
    except Exception:  # noqa: BLE001 - a file that is no archive of torch's raises almost anything
        return _names_in_plain_pickles(file)
    with zipfile.ZipFile(file) as members:
        first = next(name for name in members.namelist() if name.endswith("data.pkl"))
        order = [str(argument).replace(" ", ".") for _, argument, _ in pickletools.genops(members.read(first))]
    return sorted(unsafe, key=lambda name: order.index(name) if name in order else len(order))


def _names_in_plain_pickles(file: Path | io.BytesIO) -> list[str]:
    """Of torch's format before 1.6, four pickles one after the other, and of pickle.dump's."""
    data = io.BytesIO(file.read_bytes()) if isinstance(file, Path) else io.BytesIO(file.getvalue())
    names: list[str] = []
    with contextlib.suppress(Exception):  # no pickle, or its end
        for _ in range(4):
            operations = pickletools.genops(data)
            names += [str(argument).replace(" ", ".") for code, argument, _ in operations if code.name == "GLOBAL"]
    names = [name.replace("__builtin__.", "builtins.") for name in names]  # Python 2's name, which protocol 2 keeps
    return [name for name in dict.fromkeys(names) if not name.startswith("torch.") and name not in HARMLESS]


def _zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


def _torch_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """As torch's own reader sees them: of two members of one name it may take the other."""
    try:
        reader = torch._C.PyTorchFileReader(str(path))
        names = reader.get_all_records()
    except RuntimeError:  # the format of torch 2.6 and before, which is read as a zip
        return
    for name in names:
        yield name, reader.get_record(name)


def _loads_safely(data: bytes) -> bool:
    """Whether torch can read it without running code: where it cannot, torch.export.load tries with."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 - torch.load raises almost anything
        return False
    return True


def _code_in_json(data: bytes) -> Iterator[str]:
    try:
        yield from _walk(json.loads(data), "")
    except (ValueError, RecursionError):
        yield "texts that are not JSON"


def _walk(value: Any, key: str) -> Iterator[str]:
    """Whatever in `value`, which stands under `key`, is neither a number nor known to be harmless."""
    if isinstance(value, dict):
        if value.get("use_pickle") or not PAYLOAD.fullmatch(str(value.get("path_name", "weight_0"))):
            yield f"the pickled object {str(value.get('path_name'))[:40]!r}"
        for name, inner in value.items():
            if not (NAME.fullmatch(name) or _is_arithmetic(name)):  # ranges stand under the sizes they are of
                yield f"the name {name[:40]!r}"
            if name not in INERT:
                yield from _walk(inner, "operator" if name == "target" and "inputs" in value else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, key)
    elif isinstance(value, str) and not _is_harmless(value, key):
        if value[:1] in ("[", "{") and key not in EXPRESSIONS:  # JSON in JSON
            yield from _walk(json.loads(value), key)
        else:
            yield f"the {'expression' if key in EXPRESSIONS else key or 'text'} {value[:40]!r}"


def _is_harmless(text: str, key: str) -> bool:
    if key in EXPRESSIONS:
        return _is_arithmetic(text)
    return bool((TARGET if key in ("operator", "as_operator") else NAME).fullmatch(text))


def _is_arithmetic(text: str) -> bool:
    """Whether it is made of numbers, names, operators, sympy's functions (Max, Symbol, ...) and .size() alone."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_arithmetic_node(node) for node in nodes)


def _is_arithmetic_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        return isinstance(called, ast.Attribute) or (isinstance(called, ast.Name) and called.id[0].isupper())
    if isinstance(node, ast.Attribute):
        return node.attr == "size"
    if isinstance(node, ast.Name):
        return not node.id.startswith("_")
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str | bytes) or bool(NAME.fullmatch(str(node.value)))
    return isinstance(node, MATHS)
