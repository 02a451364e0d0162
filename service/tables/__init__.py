"""Tables of points as people have them: CSV files, read once, in bounded memory.

Encodings, separators, headings, the choice of columns, numbers, labels, and the report on them belong here. The origin
of a file (a path, a request body) and training do not.
"""
