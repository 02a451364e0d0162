"""Request bodies: received within their bounds, decompressed, and read as JSON.

What a body means belongs to `service.api`, and how many bodies may be in memory to `service.http.front`.
"""
