"""`POST /train` and `/jobs`."""
