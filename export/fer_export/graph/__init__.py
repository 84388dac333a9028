"""The ONNX graph: exported, named, and stored in half precision."""
