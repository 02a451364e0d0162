"""Checkpoints on disk: a network's `state_dict`, its card, and resume states, written atomically.

`cards` reads checkpoints without torch, as a serving process does; `torch_files` writes and reads `.pth` files. Which
checkpoints exist is the service's affair.
"""
