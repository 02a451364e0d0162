"""`POST /predict`: its route, schemas, decoding of requests and encoding of responses, and its fast path.

The computation itself is in `service.inference.predictions`.
"""
