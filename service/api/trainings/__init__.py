"""What trainings left behind: their history and their points, of versions and of jobs.

Belongs here: the routes, and their bodies in each format.
Does not belong here: how a history is recorded (`models.training.history`), and what networks answer
(`service.inference`).
"""
