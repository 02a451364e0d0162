"""The patterns of strings that the wire alone has; that of names is in `service.records`."""

JOB_ID_PATTERN = r"^[0-9a-f]{24}$"
JOB_IDS_PATTERN = r"^[0-9a-f]{24}(,[0-9a-f]{24}){0,19}$"
AXES_PATTERN = r"^[0-9]{1,4}(,[0-9]{1,4})?$"
UNIT_PATTERN = r"^[0-9]{1,4}\.[0-9]{1,4}$"
RESOLUTION_PATTERN = r"^[0-9]{1,5}(x[0-9]{1,5})?$"
PARTS_PATTERN = r"^(labels|probabilities|logits)(,(labels|probabilities|logits)){0,2}$"
KEY_PATTERN = r'^("([!#-\[\]-~]|\\["\\]){1,255}"|[!#-~][!-~]{0,254})$'
