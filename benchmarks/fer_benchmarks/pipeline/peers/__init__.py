"""Whole systems on the same videos: from the file to boxes and labels."""
