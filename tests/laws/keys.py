"""Print the key of every step of cases.py as JSON: run in another process, with another hash seed, the keys are the same."""

from __future__ import annotations

import json

from tests.laws.cases import all_cases, table

if __name__ == "__main__":
    print(json.dumps({name: case.over(table()).key({}) for name, case in all_cases().items()}))
