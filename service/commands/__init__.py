"""What the commands of `separatrix` do, one module for each, with what only they need: CSV files and options.

Which arguments a command takes is in `service.cli`. Whatever the HTTP API does too belongs below: in `service.jobs`,
`service.inference` or `service.registry`.
"""
