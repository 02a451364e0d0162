"""The Open Inference Protocol v2 under `/v2`, which `tritonclient` and `kserve` speak.

It translates tensors, names and errors, and keeps the protocol's statistics. What a model answers belongs in
`service.inference.predictions`, as for `POST /predict`.
"""
