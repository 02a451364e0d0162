"""Tables of points as people have them: CSV files, read once, in bounded memory.

What belongs here: encodings, separators, headings, the choice of the columns, numbers and labels, and what is said
about them. What does not: where a file comes from (a path, a request body), and training.
"""
