"""fer-run --web: the live picture, faces, health and Prometheus metrics in a browser (the extra `web`)."""
