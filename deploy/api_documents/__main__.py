"""Write the API documents into `docs/`."""

import asyncio
from pathlib import Path

from deploy.api_documents.files import render

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Write every document."""
    for name, text in asyncio.run(render()).items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
