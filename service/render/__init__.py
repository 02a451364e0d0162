"""Encoders, and decoders, of the formats that points, predictions, grids, lines and events come in.

Belongs here: a module for each format, and what they share (`palette`, `headers`), for the API and the commands.
Does not belong here: choosing a format (`service.http.content_negotiation`), and the schemas of JSON (`service.api`).
"""
