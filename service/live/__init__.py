"""Whatever runs beside requests in the event loop: events and frames of jobs, and background tasks."""
