"""fer-export runs nothing that stands in a pickle or in an exported program."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fer_export.loading.pt2_scan import code_in
from helpers.foreign import LABELS, made, refused, saved_program


class Trap:
    """What a hostile pickle looks like."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("trapped",)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("old", [False, True])
def test_nothing_in_a_pickle_is_run(old: bool) -> None:
    torch.save({"weights": Trap()}, "trap.pt", _use_new_zipfile_serialization=not old)
    assert "would run code from the file" in refused("trap.pt", *LABELS)
    assert not Path("trapped").exists()


def pickled(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


SAMPLES, GRAPH, WEIGHTS = "data/sample_inputs/model.pt", "models/model.json", "model_weights_config.json"
HOSTILE: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "samples": (SAMPLES, lambda _: pickled(Trap()), "a pickle of posix.mkdir in model.pt"),
    "samples, newer": (SAMPLES, lambda _: pickled(Trap(), pickle_protocol=4), "a pickle of unknown content"),
    "samples, older": (SAMPLES, lambda _: pickled(Trap(), _use_new_zipfile_serialization=False), "a pickle of"),
    "weights": (
        WEIGHTS,
        lambda text: text.replace(b'"use_pickle": false', b'"use_pickle": true'),
        "the pickled object",
    ),
    "object": (
        WEIGHTS,
        lambda text: text.replace(b'"weight_0"', b'"opaque_obj_0"'),
        "the pickled object 'opaque_obj_0'",
    ),
    "guard": (GRAPH, lambda text: with_guard(text, "__import__('os').mkdir('trapped')"), "the expression"),
    "guard, text": (GRAPH, lambda text: with_guard(text, "1 == 'a\", exit()) #'"), "the expression"),
    "size": (
        GRAPH,
        lambda text: text.replace(b"Symbol('s", b"__import__('os').mkdir('trapped') or ('s"),
        "the expression",
    ),
    "operator": (GRAPH, lambda text: text.replace(b"torch.ops.aten.relu.default", b"torch.os.mkdir"), "the operator"),
    "file": (GRAPH, lambda text: text.replace(b"aten.relu.default", b"aten.save.default"), "the operator"),
    "input": (GRAPH, lambda text: text.replace(b'"x"', b'"x=exit()"'), "the name 'x=exit()'"),
}


def with_guard(text: bytes, guard: str) -> bytes:
    return json.dumps(json.loads(text) | {"guards_code": [guard]}).encode()


def test_nothing_in_a_program_is_run(here: Path) -> None:
    """torch.export.load would unpickle, or evaluate, each of these."""
    saved_program(made("Grey"), here / "fine.pt2")
    assert code_in(here / "fine.pt2") == []
    for place, change, told in HOSTILE.values():
        with zipfile.ZipFile("fine.pt2") as fine, zipfile.ZipFile("trap.pt2", "w") as trap:
            for name in fine.namelist():
                trap.writestr(name, change(fine.read(name)) if name.endswith(place) else fine.read(name))
        text = refused("trap.pt2", *LABELS)
        assert told in text
        assert "loading it would run code from the file" in text
        assert not (here / "trapped").exists()
