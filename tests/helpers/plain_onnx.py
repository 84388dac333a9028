"""Exported files made into what fer-export did not write."""

from pathlib import Path

import onnx


def without_manifest(file: Path, out: Path) -> Path:
    """The network alone."""
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, out)
    return out
