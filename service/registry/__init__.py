"""The published versions that this process serves, and how several processes keep each other up to date.

The rows of versions are in `service.store`; computing with a version belongs in `service.inference`.
"""
