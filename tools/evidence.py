"""Write what the records say: the manifest, and the numbers and verdicts of both ledgers.

It is for those who add records. Read the diff: a number that moved may have turned a claim.
"""

import json
import sys

from stnlib.book import manifest
from stnlib.book.claims import ledger
from stnlib.paths import BOOK


def renewed(text, table):
    """Return a ledger's text with the numbers and verdicts that the records give."""
    head, *blocks = text.split(f"[[{table}]]\n")
    done = []
    for block in blocks:
        lines = block.split(f"\n[{table}.numbers]\n")[0].rstrip("\n").splitlines()
        kept = [line for line in lines if not line.startswith("verdict = ")]
        (name,) = [line for line in kept if line.startswith("function = ")]
        found = ledger.compute(json.loads(name.removeprefix("function = ")))
        if found.verdict:
            kept.append(f"verdict = {_quoted(found.verdict)}")
        if table == "claim":
            kept += ["", "[claim.numbers]"]
            kept += [f"{_quoted(k)} = {_quoted(v)}" for k, v in found.numbers.items()]
        done.append("\n".join(kept) + "\n")
    return "\n".join([head.rstrip("\n") + "\n", *(f"[[{table}]]\n{one}" for one in done)])


def _quoted(text):
    return json.dumps(text, ensure_ascii=False)


def main():
    """Write all three."""
    print(f"{manifest.write()} files are in the manifest")
    for name, table in (("claims.toml", "claim"), ("predictions.toml", "prediction")):
        path = BOOK / name
        old = path.read_text(encoding="utf-8")
        new = renewed(old, table)
        path.write_text(new, encoding="utf-8", newline="\n")
        print(f"{name}: {'changed, read the diff' if new != old else 'as it was'}")
    entries = [*ledger.claims(), *ledger.predictions()]
    wrong = [line for entry in entries for line in ledger.problems(entry)]
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
