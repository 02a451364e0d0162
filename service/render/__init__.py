"""Arrays and pictures as bytes of some format."""
