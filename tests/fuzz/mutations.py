"""Damage: bytes changed anywhere, and files that are whole as their format but say something else."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Mutation = Callable[[bytes, np.random.Generator], bytes]

NUMBERS = (
    "0", "-1", "1e309", "-1e309", "nan", "inf", "1e-400", "999999999999999999999", "2147483648", "-9223372036854775809",
    "4294967296", "0x7f", "1_000", "1e5", "1000000000", "", "٣", "3.", "--1",
)  # fmt: skip
WORDS = (
    "",
    " ",
    "\x00",
    "\x1b[31m",
    "../../etc/passwd",
    "a" * 70_000,
    "𝒳",
    "null",
    "{}",
    "[",
    '"',
    "\r",
    "<b>",
    "%s%n",
    "__class__",
)
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)
VALUES: tuple[Any, ...] = (None, True, -1, 0, 2**31, 2**63, 10**30, 1e308, "", "x" * 5000, [], {}, [[]], float("nan"))
NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_]{2,}")
DEEPEST = 3000


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One change as a rule, sometimes several, of kinds that the content allows."""
    kinds = mutations_for(content)
    for _ in range(int(rng.geometric(0.6))):
        content = kinds[rng.integers(len(kinds))](content, rng)
    return content


def mutations_for(content: bytes) -> list[Mutation]:
    """Changes of bytes for every file; of text, archives and headers for what is one."""
    kinds: list[Mutation] = [set_bytes, flip_bits, cut_short, cut_out, repeat, insert, splice]
    if content.startswith(b"PK"):
        kinds += [archive_member] * 6
    elif content.startswith(b"\x93NUMPY"):
        kinds += [numpy_header] * 4
    elif content.startswith(b"PAR1"):
        kinds += [parquet_table] * 6
    elif content[8:9] == b"{":
        kinds += [tensor_header] * 6
    elif is_text(content):
        kinds += [number, number, word, line, line, deeper]
        if content.lstrip()[:1] in (b"{", b"["):
            kinds += [json_value] * 4
    return kinds


def is_text(content: bytes) -> bool:
    return b"\x00" not in content[:4000] and not content[:4].startswith((b"PAR1", b"\x80"))


def _place(content: bytes, rng: np.random.Generator) -> int:
    """Where to begin; headers stand in front, so half of the places do."""
    most = len(content) if rng.random() < 0.5 else min(len(content), 600)
    return int(rng.integers(most)) if most else 0


def set_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[_place(content, rng)] = int(rng.integers(256)) if rng.random() < 0.5 else EXTREMES[rng.integers(5)]
    return bytes(changed)


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut_short(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: _place(content, rng)]


def cut_out(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + content[start + int(rng.integers(1, 200)) :]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    part = content[start : start + int(rng.integers(1, 300))]
    return content[:start] + part * int(rng.integers(2, 30)) + content[start:]


def insert(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.bytes(int(rng.integers(1, 40))) + content[start:]


def splice(content: bytes, rng: np.random.Generator) -> bytes:
    """A part of the file over another part."""
    source, target, size = _place(content, rng), _place(content, rng), int(rng.integers(1, 200))
    part = content[source : source + size]
    return content[:target] + part + content[target + len(part) :]


def number(content: bytes, rng: np.random.Generator) -> bytes:
    return _replaced(content, NUMBER, NUMBERS[rng.integers(len(NUMBERS))], rng)


def word(content: bytes, rng: np.random.Generator) -> bytes:
    return _replaced(content, WORD, WORDS[rng.integers(len(WORDS))], rng)


def _replaced(content: bytes, pattern: re.Pattern[bytes], text: str, rng: np.random.Generator) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content
    # What stands in front declares what follows.
    chosen = found[rng.integers(len(found) if rng.random() < 0.5 else min(len(found), 40))]
    return content[: chosen.start()] + text.encode() + content[chosen.end() :]


def line(content: bytes, rng: np.random.Generator) -> bytes:
    """A line left out, said twice, at another place, or empty."""
    lines = content.split(b"\n")
    at, other = (int(rng.integers(len(lines))) for _ in range(2))
    kind = rng.integers(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = b""
    return b"\n".join(lines)


def deeper(content: bytes, rng: np.random.Generator) -> bytes:
    """A bracket opened thousands of times."""
    start = _place(content, rng)
    bracket = (b"[", b"{", b"(", b'{"a":', b"JOINT a\n{\n")[rng.integers(5)]
    return content[:start] + bracket * DEEPEST + content[start:]


def json_value(content: bytes, rng: np.random.Generator) -> bytes:
    """Another value at a place of a JSON text."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return json.dumps(changed_value(told, rng)).encode()


def changed_value(told: Any, rng: np.random.Generator) -> Any:
    """The same with something else at one place."""
    if isinstance(told, dict) and told and rng.random() < 0.9:
        key = [*told][rng.integers(len(told))]
        kind = rng.random()
        if kind < 0.1:
            return {name: value for name, value in told.items() if name != key}
        if kind < 0.15:
            return told | {key + "x": told[key]}
        return told | {key: changed_value(told[key], rng)}
    if isinstance(told, list) and told and rng.random() < 0.9:
        at = int(rng.integers(len(told)))
        return [*told[:at], changed_value(told[at], rng), *told[at + 1 :]]
    return VALUES[rng.integers(len(VALUES))]


def archive_member(content: bytes, rng: np.random.Generator) -> bytes:
    """An archive that is whole, with a member that is damaged, missing, twice there or compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:
        return set_bytes(content, rng)
    if not members:
        return content
    at, kind = int(rng.integers(len(members))), rng.random()
    name, part = members[at]
    if kind < 0.1:
        del members[at]
    elif kind < 0.15:
        members.append((name, part))
    elif kind < 0.2:
        members[at] = (WORDS[rng.integers(len(WORDS))][:1000] or "x", part)
    elif kind < 0.3:
        members[at] = (name, bytes(int(rng.integers(1, 1 << 22))))
    else:
        members[at] = (name, mutate(part, rng))
    packed = io.BytesIO()
    compression = zipfile.ZIP_DEFLATED if rng.random() < 0.3 else zipfile.ZIP_STORED
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, part in members:
            archive.writestr(zipfile.ZipInfo(name), part, compress_type=compression)
    return packed.getvalue()


def parquet_table(content: bytes, rng: np.random.Generator) -> bytes:
    """A table that is whole, with other columns, types, rows or values."""
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except Exception:
        return set_bytes(content, rng)
    if table.empty:
        return content
    name, row = table.columns[rng.integers(table.shape[1])], int(rng.integers(len(table)))
    kind = rng.integers(8)
    if kind == 0:
        table = table.drop(columns=name)
    elif kind == 1:
        table = table.rename(columns={name: WORDS[rng.integers(len(WORDS))][:100]})
    elif kind == 2:
        table = table.assign(**{name: table[name].astype(str)})
    elif kind == 3:
        table = table.assign(**{name: None})
    elif kind == 4:
        table = table.head(row)
    elif kind == 5:
        table = pd.concat([table, table.iloc[[row]]])
    elif kind == 6:
        table = table.sample(frac=1, random_state=int(rng.integers(1000)))
    else:
        values = table[name].astype(object)
        values.iloc[row] = (None, -1, 10**9, float("inf"))[rng.integers(4)] if values.dtype != "O" else "other"
        table = table.assign(**{name: values})
    packed = io.BytesIO()
    try:
        table.to_parquet(packed, index=False)
    except Exception:
        return content
    return packed.getvalue()


def numpy_header(content: bytes, rng: np.random.Generator) -> bytes:
    """Another type, order or shape in front of the same numbers."""
    size = struct.unpack_from("<H", content, 8)[0] if len(content) > 10 else 0
    header = content[10 : 10 + size]
    kind = rng.integers(3)
    if kind == 0:
        header = _replaced(header, NUMBER, NUMBERS[rng.integers(len(NUMBERS))], rng)
    elif kind == 1:
        types = (b"'|O'", b"'<U9'", b"'<c16'", b"'>f4'", b"'<M8[s]'", b"'|V8'", b"'|b1'", b"'<f2'", b"[('a','<f4')]")
        header = re.sub(rb"'[<>|]\w+'", types[rng.integers(len(types))], header, count=1)
    else:
        header = word(header, rng)
    header = header[:65_000]
    return content[:8] + struct.pack("<H", len(header)) + header + content[10 + size :]


def tensor_header(content: bytes, rng: np.random.Generator) -> bytes:
    """Another value in the header of a safetensors file, whose length is true."""
    size = struct.unpack_from("<Q", content)[0] if len(content) > 8 else 0
    if size > len(content):
        return set_bytes(content, rng)
    header = json_value(content[8 : 8 + size], rng)
    if rng.random() < 0.3:  # the config stands in the header as a text that is JSON itself
        header = number(header, rng)
    return struct.pack("<Q", len(header)) + header + content[8 + size :]
