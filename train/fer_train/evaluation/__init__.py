"""How good a network is: scores, plots, one HTML page."""
