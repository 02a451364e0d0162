"""Request bodies: received within their limits, decompressed, and read as JSON.

What a body means belongs to `service.api`. Nothing here imports `service.http.front`, which uses this package.
"""
