"""The resource `/models`: models and their versions, with their schemas, and what a client can do with a version.

Which versions exist and which one answers belong in `service.registry`.
"""
