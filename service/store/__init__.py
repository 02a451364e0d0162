"""What outlives the process: the database (all SQL is here) and the files of a data folder.

Rows become records (`service.records`) here. The rules about the states of jobs belong here too, because each change is
one transaction. Training, HTTP and models in memory do not belong here.
"""
