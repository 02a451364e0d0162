"""The published versions that this process serves."""
