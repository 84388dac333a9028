"""fer-train's commands; nothing is imported here, so that --help is instant."""
