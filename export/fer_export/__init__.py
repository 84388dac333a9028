"""fer_export: checkpoints as self-describing ONNX files, proved against PyTorch."""
