"""The text of a FHIR document: its attachments hold it in one or several formats, in place or elsewhere."""

import base64
import errno
import re
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import numpy as np
import xxhash
from inscriptis import get_text

from corpus.files import BREAKING_OFF, NoteFile
from corpus.sources.base import BadRow
from corpus.sources.jsonl import parse_line

BINARIES = "*Binary*.ndjson*"

_FORMATS = ("text/plain", "text/html", "application/xhtml+xml")
"""Those that give text, the best first."""

_NOT_TEXT = BadRow("attachment_not_text", "text")
_NOT_FOUND = BadRow("attachment_not_found", "text")
_NOT_READABLE = BadRow("attachment_not_readable", "text")
_BINARY = re.compile(r"(?:^|/)Binary/([A-Za-z0-9.-]+)(?:/_history/[^/]+)?$")
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


def attached_text(attachments: Sequence[dict[str, Any]], file: NoteFile) -> str | BadRow:
    """The text of the first readable attachment, plain text before HTML; else why the best one cannot be read.

    A url is a Binary resource of the NDJSON files beside `file` or a file below its folder; nothing is fetched.
    """
    reasons: list[BadRow] = []
    for attachment in sorted(attachments, key=_rank):
        text = _text(attachment, file)
        if isinstance(text, str):
            return text
        reasons.append(text)
    return reasons[0] if reasons else _NOT_FOUND


def _rank(attachment: dict[str, Any]) -> int:
    kind = _kind(attachment.get("contentType", ""))
    return _FORMATS.index(kind) if kind in _FORMATS else len(_FORMATS)


def _kind(content_type: str) -> str:
    return content_type.split(";")[0].strip().lower()


def _text(attachment: dict[str, Any], file: NoteFile) -> str | BadRow:
    content_type, data = attachment.get("contentType", ""), attachment.get("data")
    if content_type and _kind(content_type) not in _FORMATS:
        return _NOT_TEXT
    if data is None:
        found = _fetch(attachment.get("url", ""), file)
        if isinstance(found, BadRow):
            return found
        if isinstance(found, bytes):
            return _decode(found, content_type)
        content_type, data = content_type or found.get("contentType", ""), found.get("data", "")
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except ValueError:
        return BadRow("not_base64", "text")
    return _decode(content, content_type)


def _decode(content: bytes, content_type: str) -> str | BadRow:
    if _kind(content_type) not in _FORMATS:
        return _NOT_TEXT
    named = _CHARSET.search(content_type)
    try:
        text = content.decode(named[1] if named else "utf-8").removeprefix("\ufeff")
    except UnicodeError:
        return BadRow("not_in_charset", "text")
    except (LookupError, ValueError):
        return BadRow("unknown_charset", "text")
    return text if _kind(content_type) == "text/plain" else get_text(text)


def _fetch(url: str, file: NoteFile) -> dict[str, Any] | bytes | BadRow:
    """The Binary resource, or the content of the file, that a url names."""
    if binary := _BINARY.search(url):
        found = _binaries_beside(file).find(binary[1])
        if found is not None:
            return found
    try:
        sibling = file.sibling(unquote(url)) if url and ":" not in url else None
        if sibling is None:
            return _NOT_FOUND
        with sibling.open() as stream:
            return stream.read()
    except (ValueError, *BREAKING_OFF):
        return _NOT_READABLE
    except OSError as error:
        if error.errno in (errno.EACCES, errno.ENAMETOOLONG):
            return _NOT_READABLE
        raise  # Another try may succeed.


class _Binaries:
    """Where each Binary resource stands in its NDJSON files: 18 bytes of memory each."""

    def __init__(self, files: Sequence[NoteFile]) -> None:
        self._streams = [file.open_random() for file in files]
        hashes, places, numbers = array("Q"), array("q"), array("H")
        for number, stream in enumerate(self._streams):
            place = 0
            for line in stream:
                resource = parse_line(line)
                if isinstance(resource, dict):
                    hashes.append(_hash(resource.get("id")))
                    places.append(place)
                    numbers.append(number)
                place += len(line)
        order = np.argsort(np.array(hashes), kind="stable")
        self._hashes, self._places, self._numbers = (np.array(each)[order] for each in (hashes, places, numbers))

    def find(self, name: str) -> dict[str, Any] | None:
        first, last = (np.searchsorted(self._hashes, np.uint64(_hash(name)), side) for side in ("left", "right"))
        for i in range(first, last):
            stream = self._streams[self._numbers[i]]
            stream.seek(self._places[i])
            resource = parse_line(stream.readline())
            if isinstance(resource, dict) and resource.get("id") == name:
                return resource
        return None


def _hash(name: Any) -> int:
    return xxhash.xxh64_intdigest(str(name).encode(errors="surrogatepass"))


# A worker reads many documents of one file, and several files of one folder.
_binaries = lru_cache(maxsize=1)(_Binaries)


@lru_cache(maxsize=1)
def _binaries_beside(file: NoteFile) -> _Binaries:
    return _binaries(tuple(file.beside(BINARIES)))
