"""Which database a data folder belongs to."""
