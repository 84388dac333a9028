"""Studies of the recipe, and unattended training on a GPU."""
