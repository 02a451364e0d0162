"""Decision boundaries: responses on grids and curves, boundary lines, slices, embeddings, certified labels.

Everything here evaluates a `models.networks.plans.Plan`. Forward passes belong in `models.inference`; pictures, files
and requests belong in `service`.
"""
