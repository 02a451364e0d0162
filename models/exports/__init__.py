"""Published networks as files for other programs, one module for each format; `formats` is the table of them.

Belongs here: the bytes of a file. Does not belong here: who asks for it, and the checkpoint as it is stored
(`models.checkpoints`). Only `torch_programs` imports torch; `onnx_graph` imports onnx, which an extra brings.
"""
