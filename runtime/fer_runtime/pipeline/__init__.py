"""The loop from frame to result, and its pace."""
