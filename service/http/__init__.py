"""HTTP for any resource: middleware, request bodies, content negotiation, caching, pages and problems.

Nothing here knows a route, a network or a job: routes and their schemas are in `service.api`.
"""
