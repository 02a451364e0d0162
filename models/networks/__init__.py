"""Networks: torch modules, their layout in a state dict, plans, activations and input transforms.

What a network is belongs here. How it learns is in `models.training`, what it answers in `models.inference`. Only
`modules` imports torch.
"""
