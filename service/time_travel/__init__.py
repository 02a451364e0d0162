"""Versions as they were after an epoch of their training, which is repeated up to there.

Belongs here: what a training needs to be repeated (`past_training`), the task that repeats it (`task`, with torch), and
what a serving process keeps of the results (`replays`, without torch).
Does not belong here: how networks learn (`models.training.replay`), and how versions answer (`service.inference`).
"""
