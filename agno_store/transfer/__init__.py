"""Sessions from one store to another, whatever database each is in, and into files and out of them.

A session travels whole, as a ``Conversation``: its row, its summary and its runs, with payloads as the text they are
stored as. Whoever gives conversations is a ``Source``, and ``bring`` puts them into a store.
"""

from agno_store.transfer.bringing import Watch, bring
from agno_store.transfer.conversation import Content, Conversation, Malformed, Problem, Row, Stamp
from agno_store.transfer.counts import Counts, Done, Exported, Transferred
from agno_store.transfer.digests import digest
from agno_store.transfer.files import File, FileSource, export
from agno_store.transfer.reading import Reading, Source
from agno_store.transfer.statements import Filters, Which

__all__ = [
    "Content",
    "Conversation",
    "Counts",
    "Done",
    "Exported",
    "File",
    "FileSource",
    "Filters",
    "Malformed",
    "Problem",
    "Reading",
    "Row",
    "Source",
    "Stamp",
    "Transferred",
    "Watch",
    "Which",
    "bring",
    "digest",
    "export",
]
