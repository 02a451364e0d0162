"""The commands for operators. Each module is one command, as in `service.commands`."""
