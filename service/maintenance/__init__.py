"""What operators do with a whole data folder: back it up, restore it, and find what is wrong with it.

The layout of files and tables belongs to `service.store`, what is printed to `service.commands.maintenance`.
"""
