"""Faults of a dataset: leaks, copies, conflicting labels."""
