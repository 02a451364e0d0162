"""`GET /boundary-grid`: its parameters (`query`), its formats (`formats`), its JSON (`schemas`) and its route.

Belongs here: reading the query, choosing the format, caching.
Does not belong here: the grids themselves (`service.inference`), and their encoders (`service.render`).
"""
