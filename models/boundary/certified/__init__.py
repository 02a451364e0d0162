"""Certified bounds of a network's outputs on boxes of points, and what follows from them: quadtree labels, robustness.

Everything here is proven for the outputs as computed in float32. Results without proof belong in `models.boundary`.
"""
