"""Processes beside the serving process that share a warm fork server, and tasks that run there because they need torch.

What a process does belongs to its owner: training to `service.jobs`, tasks to the module that is named when they run.
"""
