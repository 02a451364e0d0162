"""Servers to compare with, each as in its own documentation, with a network of the tutorial's shape."""
