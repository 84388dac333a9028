"""Where frames come from: files, cameras and streams."""
