"""Training jobs: the queue that accepts them, the worker that runs one, and the engines that start workers.

Rows and the rules about them are in `store`; the mathematics of training is in `models.training`. Only workers import
torch. HTTP does not belong here.
"""
