"""The model file: its manifest, its format, the session that runs it, and what its input is made of."""
