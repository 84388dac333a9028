"""fer-run, fer-doctor and fer-service; nothing is imported here, so that --help is instant."""
