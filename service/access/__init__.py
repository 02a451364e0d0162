"""API keys: the file that keeps them, and the roles that they have.

What a request needs is in `service.api.roles`, and how it is refused in `service.http.front.guard`.
"""
