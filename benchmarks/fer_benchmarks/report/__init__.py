"""From measurements to tables, plots, pages and comparisons."""
