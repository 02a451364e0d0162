"""`GET /boundary-grid`."""
