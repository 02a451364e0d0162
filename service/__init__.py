"""The service of Separatrix: jobs, versions and predictions over HTTP, and the command line.

Requests flow downward: ``api`` parses and renders, ``predictor`` and ``job_queue`` do the work, ``jobs`` runs trainings
in processes of their own, ``registry`` knows the published versions, ``store`` keeps rows and files. ``app`` puts the
parts together for the server, ``cli`` for the command line. The mathematics is in the package ``models``.
"""
