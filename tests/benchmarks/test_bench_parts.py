"""The parts of fer-bench: counted multiply-adds, foreign files, corruptions, energy, conditions, the baseline."""
