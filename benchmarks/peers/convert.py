"""A peer's network as ONNX, in the peers' environment: `convert.py emotion_model.hdf5|emotion.json OUT.onnx`."""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import onnx
import tensorflow as tf

setattr(np, "product", np.prod)  # tf2onnx still calls what numpy 2 has dropped
from tf2onnx import convert

OPSET = 17


def main() -> None:
    """Convert, and leave out the operator sets that tf2onnx names and does not use."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    if source.suffix == ".json":
        _from_tfjs(source, out)
    else:
        _from_keras(source, out)
    model = onnx.load(str(out))
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, str(out))


def _from_keras(source: Path, out: Path) -> None:
    model = tf.keras.models.load_model(str(source), compile=False)
    given = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="faces")]
    function = tf.function(lambda faces: model(faces, training=False), input_signature=given)
    convert.from_function(function, input_signature=given, opset=OPSET, output_path=str(out))


def _from_tfjs(source: Path, out: Path) -> None:
    """TensorFlow.js leaves out an attribute of fused convolutions that newer TensorFlows ask for."""
    plain = json.loads(source.read_text())
    for node in plain["modelTopology"]["node"]:
        if node["op"] == "_FusedConv2D":
            node["attr"]["TArgs"] = {"list": {"type": ["DT_FLOAT"] * int(node["attr"]["num_args"]["i"])}}
    whole = source.with_name("whole.json")
    whole.write_text(json.dumps(plain))
    sys.argv = ["tf2onnx", "--tfjs", str(whole), "--output", str(out), "--opset", str(OPSET)]
    convert.main()


if __name__ == "__main__":
    main()
