"""Files of knowledge graphs, plain or gzipped: whole as text, or delimited ones as Arrow columns, in a stream.

Every problem is a ValueError that names the file, and the row or column, and says what to do.
"""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

FETCH_AGAIN = "fetch the file again"
_GZIP = b"\x1f\x8b"


def read_text(path: Path) -> str:
    """The whole file, decoded as UTF-8 with or without a byte order mark."""
    with _named_errors(path), _open(path) as file:
        text = file.read().decode("utf-8-sig")
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; {FETCH_AGAIN}")
    return text


def read_columns(
    path: Path,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    delimiter: str | None = None,
    quoted: bool = True,
    where: pc.Expression | None = None,
) -> pa.Table:
    """The named columns as strings, in the order of the rows; an optional one that is not there is empty.

    Lines before the header that begin with `#` are skipped. The header's names may differ from `columns` in case,
    underscores and a leading `#`; `header` gives the names where the file has none. The delimiter is a tab where the
    header has one, else a comma. `where` keeps rows while they are read, so a selection from gigabytes fits.
    """
    skipped = 0
    if header is None:
        skipped, header, delimiter = _header(path, columns, delimiter)
    found = {_plain(name): name for name in header}
    wanted = {name: found[_plain(name)] for name in (*columns, *optional) if _plain(name) in found}
    missing = [name for name in columns if name not in wanted]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)} in its header; give a file of this form")

    bad_row: list[pa_csv.InvalidRow] = []

    def note(row: pa_csv.InvalidRow) -> str:
        bad_row.append(row)
        return "error"

    parse = pa_csv.ParseOptions(
        delimiter=delimiter or ",",
        quote_char='"' if quoted else False,
        newlines_in_values=quoted,
        invalid_row_handler=note,
    )
    convert = pa_csv.ConvertOptions(
        include_columns=list(wanted.values()),
        column_types=dict.fromkeys(header, pa.string()),
        strings_can_be_null=False,
    )
    read = pa_csv.ReadOptions(use_threads=False, skip_rows=skipped, column_names=list(header), block_size=16 << 20)
    batches = []
    with _named_errors(path):
        try:
            with _open(path) as file, pa_csv.open_csv(file, read, parse, convert) as reader:
                for batch in reader:
                    rows = pa.Table.from_batches([batch]).rename_columns(list(wanted))
                    batches.append(rows if where is None else rows.filter(where))
        except pa.ArrowInvalid as error:
            if bad_row:
                row = bad_row[0]
                problem = f"row {row.number} has {row.actual_columns} columns, not {row.expected_columns}"
                raise ValueError(f"{path}: {problem}; it may be cut there: {FETCH_AGAIN}") from None
            problem = "holds no rows" if "Empty CSV" in str(error) else f"cannot be read as a table ({error})"
            raise ValueError(f"{path}: {problem}; {FETCH_AGAIN}, or convert it to UTF-8") from None
    if not any(len(batch) for batch in batches):
        chosen = "" if where is None else " that the settings keep"
        raise ValueError(f"{path}: holds no rows{chosen}; {FETCH_AGAIN}, or check the settings of this source")
    table = pa.concat_tables(batches)
    for name in optional:
        if name not in wanted:
            table = table.append_column(name, pa.array([""] * len(table), pa.string()))
    return table


def find_file(folder: Path, *stems: str) -> Path:
    """The file of the folder whose name, without case and endings, is one of `stems`."""
    found = sorted(path for path in listed(folder) if path.name.lower().partition(".")[0] in stems)
    if not found:
        raise ValueError(f"{folder}: holds no file {' or '.join(stems)}; give the folder with the files of this format")
    return found[0]


def listed(folder: Path) -> list[Path]:
    """The files of a folder by name; a file alone counts as a folder of itself."""
    if not folder.exists():
        raise ValueError(f"{folder}: cannot be read (No such file or directory); check the path")
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]


def header_names(path: Path) -> list[str]:
    """The names in the first line, without case and underscores."""
    with _named_errors(path), _lines(path) as lines:
        first = next(lines, "")
    return [_plain(name) for name in first.split("\t" if "\t" in first else ",")]


def _header(path: Path, columns: Sequence[str], delimiter: str | None) -> tuple[int, list[str], str]:
    """The lines up to the header, the header's names and the delimiter."""
    with _named_errors(path), _lines(path) as lines:
        for number, line in enumerate(lines, start=1):
            names_in = delimiter or ("\t" if "\t" in line else ",")
            names = [name.strip('"') for name in line.rstrip("\r\n").split(names_in)]
            if not line.startswith("#") or {*map(_plain, columns)} <= {*map(_plain, names)}:
                return number, names, names_in
    raise ValueError(f"{path}: the file is empty; {FETCH_AGAIN}")


def _plain(name: str) -> str:
    return name.strip().strip('"').lstrip("#").replace("_", "").lower()


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    with _open(path) as file:
        yield iter(io.TextIOWrapper(file, "utf-8-sig"))


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
        raw.seek(0)
        with gzip.open(raw) if zipped else raw as file:
            yield file  # type: ignore[misc]


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ValueError(f"{path}: the gzip data is cut or damaged; {FETCH_AGAIN}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}; {FETCH_AGAIN} or convert it") from None
