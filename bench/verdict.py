# SPDX-License-Identifier: Apache-2.0
"""What the load tests say: a line for each figure with its bound, JSON, and the exit code."""
import json
import os
import time

from harness import OUT


class Verdict:
    def __init__(self, name):
        self.name, self.lines, self.details = name, [], {}

    def add(self, what, value, bound=None, at_least=False, unit="", digits=2):
        """A figure; judged when it has a bound. `value` None: it could not be had, which is a miss."""
        if bound is None:
            ok = None
        else:
            ok = value is not None and (value >= bound if at_least else value <= bound)
        self.lines.append({"what": what, "value": value, "unit": unit, "bound": bound, "at_least": at_least,
                           "ok": ok})
        text = f"{what:44s} {'none' if value is None else f'{value:,.{digits}f}'} {unit}".rstrip()
        if bound is not None:
            text += (f"  {'at least' if at_least else 'at most'} {bound:,.{digits}f}  "
                     f"{'ok' if ok else 'MISSED'}")
        print(text, flush=True)

    def note(self, key, value):
        """Kept in the JSON only."""
        self.details[key] = value

    def end(self):
        judged = [line for line in self.lines if line["ok"] is not None]
        inside = sum(line["ok"] for line in judged)
        path = os.path.join(OUT, self.name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"when": time.strftime("%F %T"), "figures": self.lines, **self.details}, file, indent=1)
        print(f"{inside} of {len(judged)} inside their bounds; {os.path.relpath(path)}")
        return 0 if judged and inside == len(judged) else 1
