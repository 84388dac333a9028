"""Latency, accuracy, robustness and energy, and how sure they are."""
