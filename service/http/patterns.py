"""Patterns of strings in requests, and what each requires in words. The pattern of names is in `service.records`."""

from service.records import (
    ALIAS_PATTERN,
    ALIAS_RULE,
    LOSS_CONDITION_PATTERN,
    LOSS_CONDITION_RULE,
    NAME_PATTERN,
    NAME_RULE,
    SHARE_CONDITION_PATTERN,
    SHARE_CONDITION_RULE,
)

JOB_ID_PATTERN = r"^u?[0-9a-f]{24}$"
_TO_8192 = "[1-9][0-9]{1,2}|[1-7][0-9]{3}|80[0-9]{2}|81[0-8][0-9]|819[0-2]"
RESOLUTION_PATTERN = rf"^([2-9]|{_TO_8192})(x([1-9]|{_TO_8192}))?$"
VERSION_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}(:([1-9][0-9]{0,9}|[a-z][a-z0-9._-]{0,62}))?$"
KEY_PATTERN = r'^("([!#-\[\]-~]|\\["\\]){1,255}"|[!#-~][!-~]{0,254})$'

PATTERN_RULES = {
    NAME_PATTERN: NAME_RULE,
    ALIAS_PATTERN: ALIAS_RULE,
    SHARE_CONDITION_PATTERN: SHARE_CONDITION_RULE,
    LOSS_CONDITION_PATTERN: LOSS_CONDITION_RULE,
    VERSION_PATTERN: "must be MODEL, MODEL:VERSION or MODEL:ALIAS, such as my-flower:2",
    KEY_PATTERN: "must be 1 to 255 visible ASCII characters, with or without quotes",
    RESOLUTION_PATTERN: "must be W or WxH, such as 200 or 320x240, each 2 to 8,192",
}
"""What each pattern of our schemas requires, for error messages."""
