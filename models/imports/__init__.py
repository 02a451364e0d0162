"""Reads networks from files that other programs wrote: what a file holds, as a network of this project.

A file is first only described: tensors by their shape, type and strides, everything else by its name. Nothing in it is
executed, and no weight is copied before it is checked. `reading` puts the parts together: `files` tells the format,
`pickles` and `torchscript` read what torch wrote, `entries` finds the weights in it, `state_dicts` and `modules` find
the layers, and `chains` makes a network of them. Where the weights come from and go to is the service's affair.
"""
