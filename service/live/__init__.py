"""What runs in the event loop beside requests: event streams of jobs, boundary frames, wakeups, background tasks.

HTTP itself belongs in `service.http` and `service.api`, and the rows behind the events in `service.store`.
"""
