"""What the commands of `separatrix` do, with what only they need: CSV files, options and the console.

Which arguments a command takes is in `service.cli`. Whatever the HTTP API does too belongs below: in `service.jobs`,
`service.inference` or `service.registry`.
"""
