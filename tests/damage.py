"""Ways to damage checkpoints, records and observations, drawn from a seed."""

import json
import random
import struct

from safetensors.torch import load_file, save_file

from stnlib.records import sealed
from stnlib.training.checkpoint import save_checkpoint

LARGE = 10**400
JUNK = [
    None,
    True,
    False,
    -1,
    7,
    0.5,
    1e300,
    LARGE,
    "x",
    "<b>",
    "\ud800",
    "",
    [],
    {},
    [None],
    [[1]],
]


class Draw(random.Random):
    """Random numbers, and what to do with a file with them."""

    def flip(self, content, start, stop):
        content = bytearray(content)
        content[self.randrange(start, stop)] ^= 1 << self.randrange(8)
        return bytes(content)

    def cut(self, content):
        return content[: self.randrange(len(content))]


def header_end(content):
    return 8 + struct.unpack("<Q", content[:8])[0]


# Checkpoints: each takes the file's path, a draw, and what `save_checkpoint` is given.


def in_numbers(path, draw, _):
    content = path.read_bytes()
    path.write_bytes(draw.flip(content, header_end(content), len(content)))


def in_an_exponent(path, draw, _):
    content = bytearray(path.read_bytes())
    content[header_end(content) + 4 * draw.randrange(20_000) + 3] ^= 1 << draw.randrange(7)
    path.write_bytes(content)


def in_the_header(path, draw, _):
    content = path.read_bytes()
    path.write_bytes(draw.flip(content, 0, header_end(content)))


def cut_off(path, draw, _):
    path.write_bytes(draw.cut(path.read_bytes()))


def other_bytes(path, draw, _):
    path.write_bytes(draw.choice([b"", b"x", draw.randbytes(5000), path.read_bytes() + b"\0"]))


def rewritten(path, tensors=None, **metadata):
    """Write a checkpoint with safetensors alone, as someone would who edits it."""
    content = path.read_bytes()
    kept = json.loads(content[8 : header_end(content)])["__metadata__"] | metadata
    kept = {name: text for name, text in kept.items() if text is not None}
    save_file(tensors or load_file(path), path, kept)


def edited_history(path, draw, arguments):
    rows = json.loads(json.dumps(arguments[3]))
    name = draw.choice(["val_loss", "val_accuracy", "train_loss", "seconds"])
    draw.choice(rows)[name] += draw.choice([0.001, 1, -1e9])
    rewritten(path, history=json.dumps(rows))


def other_metadata(path, draw, _):
    name = draw.choice(["key", "history", "digest"])
    rewritten(path, **{name: draw.choice([None, "", "0" * 64, "[]", "[" * 5000, "{}", "null"])})


def other_tensors(path, draw, _):
    tensors = load_file(path)
    name = draw.choice(sorted(tensors))
    value = tensors.pop(name)
    kind = draw.randrange(4)
    if kind == 1:
        tensors[name + "x"] = value
    elif kind == 2:
        tensors[name] = value.reshape(1, *value.shape)
    elif kind == 3:
        tensors[name] = value.double()
    rewritten(path, tensors)


def unsound_history(path, draw, arguments):
    """A history that no training has, under a digest that fits."""
    model, optimizer, key, rows = arguments
    without = [{name: v for name, v in row.items() if name != "val_loss"} for row in rows]
    four = [rows[0] | {"epoch": n} for n in (1, 2, 3, 4)]
    kinds = [[], four, rows[::-1], "x", [1], [[]], {}, None, without, [rows[0], rows[0]]]
    kinds += [[rows[0] | {"val_loss": "x"}], [rows[0] | {"val_accuracy": 7}], [rows[0] | {"": 1}]]
    save_checkpoint(path, model, optimizer, key, draw.choice(kinds))


def anothers(path, draw, arguments):
    model, optimizer, key, rows = arguments
    save_checkpoint(path, model, optimizer, draw.choice(["", "0" * 29, key[:-1], key + "0"]), rows)


CHECKPOINTS = [
    *(in_numbers, in_an_exponent, in_the_header, cut_off, other_bytes, edited_history),
    *(other_metadata, other_tensors, unsound_history, anothers),
]


# Records and observations: each takes the file's content and a draw, and gives the content damaged.


def flipped(content, draw):
    return draw.flip(content, 0, len(content))


def shortened(content, draw):
    return draw.cut(content)


def nonsense(content, draw):
    deep = b"[" * 100_000
    return draw.choice([b"", b"null", b"[]", deep, b'{"schema":' + deep, b"\xff\xfe", b"9" * 9999])


def doubled(content, draw):
    """A name stands twice, the second time with another value."""
    lines = content.split(b"\n")
    n = draw.randrange(1, len(lines) - 2)
    return b"\n".join(
        [*lines[: n + 1], lines[n].replace(b"1", b"2").rstrip(b",") + b",", *lines[n:]]
    )


def literals(content, draw):
    """A number that is none of JSON's, or is too large."""
    words = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000]
    return content.replace(b"0.", draw.choice(words) + b", 0." if draw.random() < 0.2 else b"9.", 1)


def changed(content, draw):
    """Something in it is another value, gone, or new; half of these have a digest that fits."""
    found = json.loads(content)
    inner = [found]
    while draw.random() < 0.8:
        members = list(inner[-1].values() if isinstance(inner[-1], dict) else inner[-1])
        members = [one for one in members if isinstance(one, dict | list) and one]
        if not members:
            break
        inner.append(draw.choice(members))
    last = inner[-1]
    place = draw.choice(list(last) if isinstance(last, dict) else range(len(last)))
    if draw.random() < 0.3:
        del last[place]
    else:
        last[place] = draw.choice(JUNK)
    if draw.random() < 0.1:
        found["<x>"] = 1
    if draw.random() < 0.5:
        found["digest"] = sealed.digest(found)
    return json.dumps(found).encode()


RECORDS = [flipped, shortened, nonsense, doubled, literals, changed, changed, changed]


def damaged(kinds, n, seed=0):
    """`n` pairs of a kind of damage and a draw for it, each kind as often as another."""
    return [(kinds[i % len(kinds)], Draw(f"{seed} {i}")) for i in range(n)]
