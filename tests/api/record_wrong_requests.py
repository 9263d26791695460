"""Write `wrong_requests.json` anew with what the server answers now: `python -m tests.api.record_wrong_requests`.

Invariant: only the answers change. Each difference is then read in `git diff` and either wanted or repaired.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.api import wrong_requests


def main() -> int:
    cases = wrong_requests.load()
    changed, succeeding = [], []
    with tempfile.TemporaryDirectory() as folder, wrong_requests.scene(Path(folder)) as scene:
        for case in cases:
            answer = scene.send(case)
            if answer.status < 400:
                succeeding.append(case["name"])
                continue
            pinned = wrong_requests.pinned(answer)
            if pinned != case.get("answer"):
                changed.append(case["name"])
            case["answer"] = pinned
    if succeeding:
        print("Nothing is written, because these requests succeed:", *succeeding, sep="\n  ")
        return 1
    wrong_requests.save(cases)
    print(f"{len(cases)} cases, {len(changed)} with another answer than before")
    for name in changed:
        print(f"  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
