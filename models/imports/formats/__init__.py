"""Files of each format: what they hold, without how it is understood as a network. Nothing of a file is executed."""
