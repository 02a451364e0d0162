"""Damaged copies of bytes, as a strategy of hypothesis."""

import io
import os
import zipfile

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ", "0"))
"""Number of random examples of each test (`make fuzz`). 0 stands for a few examples that are the same in each run."""

few = settings(
    max_examples=EXAMPLES or 25,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[*HealthCheck],
)

SPECIAL = [
    *(b"\x00", b"\xff", b"\x80", b"\x7f", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"),
    *(b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\x00" * 8, b"\x01\x00\x00\x00", b"\x00\x00\x01\x00"),
    *(b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xff\xfe", b"\x1f\x8b", b"PK\x03\x04", b"\r", b"\n", b"\t", b" ", b"\x0b"),
    *(b"nan", b"-inf", b"1e999", b"9" * 30, b"-0", b"1_0", b"null", b"true", b"{}", b"[]", b'"', b"'", b"\\", b"\\u"),
    *(b"[", b"]", b"{", b"}", b",", b":", b";", b".", b"(", b")", b"#", b"%", b"=", b"-"),
]
"""Bytes that parsers often handle wrongly: limits of integers, signatures of formats and encodings, punctuation."""


@st.composite
def damaged(draw: st.DrawFn, sample: bytes) -> bytes:
    """`sample` after one to four changes. In half of the archives, only a member changes, and its checksum fits."""
    if zipfile.is_zipfile(io.BytesIO(sample)) and draw(st.booleans()):
        return _archive(draw, sample)
    return _changed(draw, sample)


def _archive(draw: st.DrawFn, sample: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    victim = draw(st.sampled_from(sorted(members)))
    members[victim] = _changed(draw, members[victim])
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return copy.getvalue()


def _changed(draw: st.DrawFn, sample: bytes) -> bytes:
    content = bytearray(sample)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.integers(1, 16))
        kind = draw(st.sampled_from(["overwrite", "insert", "delete", "repeat", "flip", "cut"]))
        if kind == "overwrite":
            new = draw(st.sampled_from(SPECIAL) | st.binary(min_size=1, max_size=8))
            content[start : start + len(new)] = new
        elif kind == "insert":
            content[start:start] = draw(st.sampled_from(SPECIAL) | st.binary(min_size=1, max_size=8))
        elif kind == "delete":
            del content[start : start + length]
        elif kind == "repeat":
            content[start:start] = bytes(content[start : start + length]) * draw(st.integers(1, 20))
        elif kind == "flip" and start < len(content):
            content[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut" and draw(st.booleans()):
            del content[start:]
    return bytes(content)
