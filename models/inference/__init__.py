"""Evaluating plans."""
