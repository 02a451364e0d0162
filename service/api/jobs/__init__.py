"""The endpoints of training jobs: `POST /train`, `/jobs` and `/events`, with their schemas.

What happens to a job belongs in `service.jobs` and `service.store`; how its events are sent, in `service.live`.
"""
