"""The dataset as one HTML page."""
