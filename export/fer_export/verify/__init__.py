"""fer-verify: a written file checked again."""
