"""Chooses what a request leaves open: the network and its training settings, by cross-validation.

Belongs here: candidates, folds, the calibration of probabilities, the relevance of features, and the search. Does not
belong here: how a network is trained (`models.training`), and which settings a client may give (`models.specs`).
"""
