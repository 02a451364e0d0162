"""The pages that a browser opens, with their files: the playground and the API reference.

Everything else in `service.api` answers programs. The page's own files are in `service/web/`.
"""
