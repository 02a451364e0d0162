"""The resource `/datasets`: generators and stored datasets, with their schemas, uploads and pages of points.

What a file of points means belongs in `service.datasets` and `service.tables`.
"""
