"""Stored datasets: files of any format are read into points, which are kept under a name.

The formats, the summary of the points, and the order of writes to files and rows belong here. The columns of tables
belong to `service.tables`, HTTP to `service.api.datasets`.
"""
