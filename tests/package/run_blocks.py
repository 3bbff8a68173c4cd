"""Run the Python blocks of a document, given as JSON on stdin, in order and in one namespace."""

from __future__ import annotations

import json
import linecache
import sys
import types


def main() -> None:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for block in json.load(sys.stdin):
        # The place of the block in the document is what a traceback shows.
        text = "\n" * (block["line"] - 1) + block["text"]
        linecache.cache[block["document"]] = (len(text), None, text.splitlines(keepends=True), block["document"])
        exec(compile(text, block["document"], "exec"), vars(module))


main()
