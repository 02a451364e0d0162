"""Decision boundaries: grids, contours, hidden space."""
