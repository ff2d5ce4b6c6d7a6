"""Ways to damage checkpoints, records and observations, drawn from a seed."""

import io
import json
import random

import torch

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


# Checkpoints: each takes the file's path, a draw, and what `save_checkpoint` is given.


def in_the_payload(path, draw, _):
    content = path.read_bytes()
    path.write_bytes(draw.flip(content, content.index(b"\n"), len(content)))


def in_an_exponent(path, draw, arguments):
    content = bytearray(path.read_bytes())
    largest = max(arguments[0].parameters(), key=torch.numel).detach()
    weights = content.index(largest.numpy().tobytes())
    content[weights + 4 * draw.randrange(largest.numel()) + 3] ^= 1 << draw.randrange(7)
    path.write_bytes(content)


def in_the_digest(path, draw, _):
    content = path.read_bytes()
    path.write_bytes(draw.flip(content, 0, content.index(b"\n") + 1))


def cut_off(path, draw, _):
    path.write_bytes(draw.cut(path.read_bytes()))


def other_bytes(path, draw, _):
    path.write_bytes(draw.choice([b"", b"x", draw.randbytes(5000), path.read_bytes() + b"\0"]))


def rewritten(path, change):
    """Write a checkpoint with PyTorch alone, as someone would who edits it."""
    digest, payload = path.read_bytes().split(b"\n", 1)
    saved, file = torch.load(io.BytesIO(payload), weights_only=True), io.BytesIO()
    change(saved)
    torch.save(saved, file)
    path.write_bytes(digest + b"\n" + file.getvalue())


def edited_history(path, draw, _):
    name = draw.choice(["val_loss", "val_accuracy", "train_loss", "seconds"])

    def edit(saved):
        draw.choice(saved["history"])[name] += draw.choice([0.001, 1, -1e9])

    rewritten(path, edit)


def other_parts(path, draw, _):
    name, junk = draw.choice(["key", "history", "model", "optimizer"]), draw.choice(JUNK)
    rewritten(path, lambda saved: saved.update({name: junk}))


def other_tensors(path, draw, _):
    kind = draw.randrange(4)

    def edit(saved):
        tensors = draw.choice([saved["model"], *saved["optimizer"].values()])
        name = draw.choice(sorted(tensors))
        value = tensors.pop(name)
        if kind:
            name = name + "x" if kind == 1 else name
            tensors[name] = [value, value[None], value.double()][kind - 1]

    rewritten(path, edit)


def unsound_history(path, draw, arguments):
    """A history that is none, or longer than the run's, under a digest that fits."""
    model, optimizer, key, rows = arguments
    save_checkpoint(path, model, optimizer, key, draw.choice([[], rows * 2]))


def anothers(path, draw, arguments):
    model, optimizer, key, rows = arguments
    save_checkpoint(path, model, optimizer, draw.choice(["", "0" * 29, key[:-1], key + "0"]), rows)


CHECKPOINTS = [
    *(in_the_payload, in_an_exponent, in_the_digest, cut_off, other_bytes, edited_history),
    *(other_parts, other_tensors, unsound_history, anothers),
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
