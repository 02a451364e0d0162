"""The resources of the HTTP API: routes that parse a request, make one call and render its result.

Wire schemas are here, next to their routes. What does not depend on a resource is in `service.http`.
"""
