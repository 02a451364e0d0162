"""Networks: torch modules, their layout in a state dict, and plans."""
