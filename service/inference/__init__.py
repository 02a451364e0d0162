"""What published versions answer: predictions of points, and grids, each with its bounds on the work.

Belongs here: resolving what a request leaves open, and one call of `models` for the rest.
Does not belong here: wire formats (`service.render`), HTTP (`service.api`), mathematics (`models`).
"""
