"""Note files wherever they lie: a local file, folder or glob, or an object-store URL, through `pyarrow.fs`."""

import gzip
import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import PurePosixPath
from typing import BinaryIO, cast

import pyarrow as pa
from pyarrow import fs

READ_AHEAD = 1 << 20
"""Bytes; object stores answer one request for each."""

BREAKING_OFF = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a truncated or corrupt gzip raises."""


@dataclass(frozen=True)
class NoteFile:
    """One file; equal to another of the same name, size and time. It opens in any process that unpickles it."""

    name: str
    """For people: the absolute path, or the URL without credentials and query."""
    path: str
    root: str
    """The folder that was asked for, both as the file system writes them."""
    size: int
    modified: int
    """Nanoseconds since 1970; 0 where the file system does not say."""
    filesystem: fs.FileSystem = field(compare=False, repr=False)

    def open(self) -> BinaryIO:
        """The bytes from the start, unpacked where the name ends in `.gz`. Raises OSError."""
        stream = _buffered(self.filesystem.open_input_stream(self.path, compression=None))
        return cast(BinaryIO, gzip.open(stream)) if self.path.endswith(".gz") else stream

    def open_random(self) -> BinaryIO:
        """The bytes with `seek`. A `.gz` is unpacked into a temporary file, as far as it goes. Raises OSError."""
        if not self.path.endswith(".gz"):
            return _buffered(self.filesystem.open_input_file(self.path))
        unpacked = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
        with self.open() as stream, suppress(*BREAKING_OFF):
            shutil.copyfileobj(stream, unpacked)
        unpacked.seek(0)
        return unpacked

    def relative(self) -> PurePosixPath:
        """The path below the folder that was asked for."""
        return PurePosixPath(self.path).relative_to(self.root)

    def beside(self, pattern: str) -> list["NoteFile"]:
        """The files of the same folder whose names match, sorted."""
        found = _list(self.filesystem, posixpath.dirname(self.path), recursive=False)
        return [self._other(info) for info in found if fnmatch(info.base_name, pattern)]

    def sibling(self, relative: str) -> "NoteFile | None":
        """The file at a path relative to this one's folder; None when it is not there or leads out of the folder."""
        folder = posixpath.dirname(self.path)
        path = posixpath.normpath(posixpath.join(folder, relative))
        if not path.startswith(f"{folder}/"):
            return None
        info = self.filesystem.get_file_info(path)
        return self._other(info) if info.type == fs.FileType.File else None

    def _other(self, info: fs.FileInfo) -> "NoteFile":
        return _note_file(info, self.root, self.filesystem, self.name.removesuffix(self.path))


def find_files(path: str, names: Sequence[str]) -> list[NoteFile]:
    """The files that `path` stands for, sorted: a file, what a glob matches, or what of a folder matches `names`.

    A folder is searched with all below it, save what begins with `.` or `_`. Raises FileNotFoundError naming the path
    when there is none or one of them cannot be opened.
    """
    shown = re.sub(r"(?<=://)[^/@]*@", "", path).split("?")[0] if "://" in path else path
    try:
        filesystem, scheme, inside = _locate(path)
        info = filesystem.get_file_info(inside)
        if info.type == fs.FileType.File:
            root, found = posixpath.dirname(inside), [info]
        elif info.type == fs.FileType.Directory:
            root = inside
            found = [each for each in _list(filesystem, root) if _is_wanted(each, root, names)]
        else:
            root = _fixed_part(inside)
            deep = "/" in inside.removeprefix(f"{root}/")
            found = [each for each in _list(filesystem, root, deep) if PurePosixPath(each.path).match(inside)]
        files = [_note_file(each, root, filesystem, scheme) for each in found]
        # What an object store lists, one opening proves the right to read.
        for file in files if isinstance(filesystem, fs.LocalFileSystem) else files[:1]:
            filesystem.open_input_stream(file.path, compression=None).close()
    except pa.ArrowInvalid:
        raise FileNotFoundError(f"{shown}: not a path or URL that pyarrow.fs opens") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # The whole error names a file, maybe a patient.
        raise FileNotFoundError(f"{shown}: it, or a file in it, cannot be opened ({reason})") from None
    if not files:
        raise FileNotFoundError(f"{shown}: no such file or folder, or nothing in it that is named {', '.join(names)}")
    return files


def fingerprint(files: Iterable[NoteFile]) -> str:
    """Changes with the name, size or time of change of any of the files."""
    facts = [(file.name, file.size, file.modified) for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _locate(path: str) -> tuple[fs.FileSystem, str, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), "", os.path.abspath(path)
    filesystem, inside = fs.FileSystem.from_uri(path)
    local = isinstance(filesystem, fs.LocalFileSystem)
    return filesystem, "" if local else path.split("://")[0] + "://", inside.rstrip("/")


def _note_file(info: fs.FileInfo, root: str, filesystem: fs.FileSystem, scheme: str) -> NoteFile:
    return NoteFile(scheme + info.path, info.path, root, info.size or 0, info.mtime_ns or 0, filesystem)


def _list(filesystem: fs.FileSystem, folder: str, recursive: bool = True) -> list[fs.FileInfo]:
    """The files of a folder, by path."""
    found = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True, recursive=recursive))
    return sorted((info for info in found if info.type == fs.FileType.File), key=lambda info: info.path)


def _is_wanted(info: fs.FileInfo, root: str, names: Sequence[str]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in PurePosixPath(info.path).relative_to(root).parts)
    return not hidden and any(fnmatch(info.base_name.lower(), name) for name in names)


def _fixed_part(pattern: str) -> str:
    """The folder before the first part that holds a wildcard."""
    return "/".join(takewhile(lambda part: not re.search(r"[*?\[]", part), pattern.split("/")[:-1])) or "/"


def _buffered(stream: pa.NativeFile) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, stream), READ_AHEAD))
