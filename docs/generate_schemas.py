"""Write docs/schemas/*.json, the JSON Schemas of what the bench commands write, or check them with --check."""

import json
import sys
from pathlib import Path

from dashdeploy.bench.show.results import SCHEMAS, schema_of

FOLDER = Path(__file__).parent / "schemas"


def main() -> int:
    """Write or check."""
    stale = []
    for kind in SCHEMAS:
        path = FOLDER / f"{kind}.schema.json"
        text = json.dumps(schema_of(kind), indent=2) + "\n"
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(path.name)
        else:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        print(
            f"docs/schemas/{', '.join(stale)}: out of date; run: python docs/generate_schemas.py",
            file=sys.stderr,
        )
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
