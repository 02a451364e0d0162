"""What browsers and proxies in front of the service need: CORS, path prefixes, compressed responses.

Each module is an ASGI application around another one. It is installed only if a setting asks for it, or costs a small
request nothing. Nothing here knows a route.
"""
