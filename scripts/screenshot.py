"""Look at a page in Chromium: save what it shows, print its complaints, and exit 1 if there were any.

    python scripts/screenshot.py http://127.0.0.1:8000/docs build/docs.png

Needs `pip install playwright` and a Chromium (`CHROMIUM` names it, by default /usr/bin/chromium).
"""

import argparse
import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=1600)
    parser.add_argument("--click", action="append", default=[], help="CSS of what to click first")
    args = parser.parse_args()
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": args.width, "height": args.height})
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("requestfailed", lambda asked: complaints.append(f"not loaded: {asked.url}"))
        page.goto(args.url, wait_until="networkidle")
        for css in args.click:
            page.locator(css).first.click()
            page.wait_for_load_state("networkidle")
        args.picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=args.picture)
        browser.close()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
