"""Faces in a frame: found, followed, smoothed over time, and hidden."""
