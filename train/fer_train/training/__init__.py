"""From faces and targets to a trained network: the loop, its state, and what is measured at its end."""
