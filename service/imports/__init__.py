"""Imports: a file of a client becomes the next version of a model.

How a file is understood belongs in `models.imports`. `task` runs where torch is; `publishing` never imports it.
"""
