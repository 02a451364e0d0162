"""Benchmarks: speed compared with other programs in the same run. `make bench` prints the tables."""
