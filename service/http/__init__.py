"""HTTP itself, whatever the resource: middleware, request bodies, content negotiation, caching, problems."""
