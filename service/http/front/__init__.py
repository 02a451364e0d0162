"""What stands before every route: access, limits of clients, CORS, path prefixes, compression.

Nothing here knows a route. What it does is off unless a setting asks for it, or costs a small request nothing.
"""
