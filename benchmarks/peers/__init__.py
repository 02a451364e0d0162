"""Servers to be compared with, each as its own documentation has it: a network of the tutorial's shape behind each."""
