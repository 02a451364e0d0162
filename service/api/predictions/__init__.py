"""`POST /predict`."""
