"""Benchmarks of the whole loop: camera, throughput, detection, accuracy."""
