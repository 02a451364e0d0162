"""Running trainings: what a worker does, and the engines that bring workers to jobs."""
