"""From a file that torch wrote to a network: ours, other people's, and what must not be loaded."""
