"""Rows and files: the only part of the service that lasts."""
