"""The service of Separatrix: predictions, grids, jobs and versions over HTTP, and the command line.

Imports point downward only: `commands`, `app`, `api`, `http` and `live`, `render`, `inference`, `jobs`, `registry`,
`store`. `app` builds the parts of a server, and `models` is the mathematics. docs/architecture.md shows how a request
and a job pass through.
"""
