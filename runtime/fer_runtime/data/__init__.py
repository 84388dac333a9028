"""Labelled faces: how a dataset is laid out, read, split and scored."""
