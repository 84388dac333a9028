"""The gates a file must pass: parity with PyTorch, and int8's speed."""
