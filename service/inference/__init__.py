"""Answers of published versions: predictions and boundary grids."""
