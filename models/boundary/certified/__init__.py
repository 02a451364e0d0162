"""Labels and distances by proof."""
