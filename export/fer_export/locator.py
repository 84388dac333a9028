"""`python -m fer_export.locator face-locator.pt --out face-locator.onnx`: the locator as ONNX in int8, checked.

The camera's bytes go in, as with the classifiers. The file is written if fp32 equals PyTorch, and int8 moves the boxes
of held-out faces by little.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fer_export import gates
from fer_export.graph import edit, export
from fer_export.quantization import qdq, weight_rounding
from fer_export.source import Source
from fer_runtime.cli.entry import run
from fer_runtime.errors import GateError
from fer_runtime.faces import locating
from fer_runtime.files import check_place, written_whole
from fer_runtime.model.inference import batched
from fer_runtime.model.manifest import INPUT, LOGITS, METADATA_KEY, Manifest
from fer_runtime.model.normalization import normalized
from fer_runtime.model.session import open_session
from fer_train.locator.checkpoint import LocatorCheckpoint, load
from fer_train.locator.network import folded
from fer_train.locator.samples import read
from fer_train.locator.views import plain
from fer_train.model import MEAN, STD, normalize, parameters

MAX_DIFFERENCE = 1e-4  # of fp32 from PyTorch, of max(1, |output|)
MAX_MOVED = 0.02  # 95th percentile of the boxes' edges in int8 from fp32, in sides of the region
ROUNDING_SCENES = 1024  # of the training, on which the weights' roundings are compensated
MIN_AGREEMENT = 0.98  # share of regions of which int8 says the same, face or not


@dataclass(frozen=True)
class LocatorParity:
    """How the file differs from PyTorch on some regions."""

    regions: int
    fp32_difference: float
    """Largest, of max(1, |output|)."""
    int8_moved_p50: float
    """Of the edges of the boxes of faces, in sides of the region."""
    int8_moved_p95: float
    int8_agreement: float
    """Share of the regions of which it says the same, face or not."""


def exported(
    checkpoint: LocatorCheckpoint, seen: NDArray[np.uint8], regions: NDArray[np.uint8]
) -> tuple[bytes, LocatorParity]:
    """The int8 file, and how it differs from PyTorch on `regions`. Raises GateError where that is too much.

    seen: regions on which the weights' roundings are compensated; both uint8 [n, 1, SIZE, SIZE].
    """
    network = checkpoint.network
    manifest = Manifest(("face",), locating.SIZE, MEAN, STD, {}, parameters(network), 0)
    core = export.core(Source(folded(network), manifest, checkpoint.ranges, checkpoint.digest))
    rounded = weight_rounding.rounded(core, normalized(seen, MEAN, STD))
    with torch.inference_mode():
        expected = network(normalize(torch.from_numpy(regions))).numpy()
    fp32 = _outputs(_file(core, manifest, checkpoint), regions)
    file = _file(qdq.quantized(rounded, checkpoint.ranges, manifest), manifest, checkpoint)
    parity = _compared(expected, fp32, _outputs(file, regions))
    if not parity.fp32_difference <= MAX_DIFFERENCE:
        raise GateError(f"fp32 differs from PyTorch by {parity.fp32_difference:.1e}, expected {MAX_DIFFERENCE:.0e}")
    if not (parity.int8_moved_p95 <= MAX_MOVED and parity.int8_agreement >= MIN_AGREEMENT):
        raise GateError(
            f"int8 moves boxes by {parity.int8_moved_p95:.1%} of the region and agrees on {parity.int8_agreement:.1%} "
            f"of the regions: expected at most {MAX_MOVED:.1%} and at least {MIN_AGREEMENT:.0%}"
        )
    return file, parity


def _file(core: onnx.ModelProto, manifest: Manifest, checkpoint: LocatorCheckpoint) -> bytes:
    """A core, in float or in int8, as the runtime takes it: camera bytes in, places out."""
    model = export.with_pixels(edit.copied(core), manifest)
    edit.rename(model.graph, {INPUT: locating.INPUT, LOGITS: locating.OUTPUT})
    edit.with_versions(model)
    model.producer_name, model.producer_version, model.graph.name = "fer-edge", "", "locator"
    del model.graph.value_info[:]
    facts = {"checkpoint": checkpoint.digest, "measured": checkpoint.metrics, "region": locating.REGION}
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(facts, sort_keys=True))
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True), full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _outputs(file: bytes, regions: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = open_session(file)
    return batched(lambda batch: session.run([locating.OUTPUT], {locating.INPUT: batch})[0], regions)


def _compared(expected: NDArray[np.float32], fp32: NDArray[np.float32], int8: NDArray[np.float32]) -> LocatorParity:
    def edges(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        half = np.exp(outputs[:, 3:5]) / 2
        return np.hstack([outputs[:, 1:3] - half, outputs[:, 1:3] + half])

    faces = expected[:, 0] > 0
    moved = np.abs(edges(int8) - edges(expected))[faces].max(1)
    p50, p95 = np.percentile(moved, [50, 95]).tolist()
    agreement = float(((int8[:, 0] > 0) == faces).mean())
    return LocatorParity(len(expected), float(gates.relative_difference(fp32, expected).max()), p50, p95, agreement)


def regions_of(path: Path, limit: int | None = None) -> NDArray[np.uint8]:
    """The regions in scenes that the training kept, uint8 [n, 1, SIZE, SIZE]; `limit` of them, evenly chosen."""
    samples = read(path)
    chosen = np.linspace(0, len(samples.faces) - 1, min(limit or len(samples.faces), len(samples.faces))).astype(int)
    arrays = (torch.from_numpy(each[chosen]) for each in (samples.scenes, samples.places, samples.faces))
    pixels: NDArray[np.uint8] = plain(*arrays).pixels.round().to(torch.uint8).numpy()
    return pixels


@click.command(epilog="Example: python -m fer_export.locator models/face-locator.pt --work scenes --out locator.onnx")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--work", type=click.Path(path_type=Path), required=True, help="The training's folder, with its scenes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file that the runtime takes.")
def cli(checkpoint: Path, work: Path, out: Path) -> None:
    """Write the locator CHECKPOINT as ONNX in int8, if it is as good as in PyTorch."""
    check_place(out)
    file, parity = exported(
        load(checkpoint), regions_of(work / "0.npz", ROUNDING_SCENES), regions_of(work / "valid.npz")
    )
    with written_whole(out) as beside:
        beside.write_bytes(file)
    click.echo("\n".join(f"{name}: {value:.5g}" for name, value in asdict(parity).items()))


if __name__ == "__main__":
    run(cli, "export")
