"""Files of knowledge graphs, plain or gzipped: whole as text, or delimited ones as Arrow columns, in a stream.

Every problem is a ValueError that names the file, and the row or column, and says what to do.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias
from xml.etree.ElementTree import ParseError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from datagen.graph.bad_rows import set_aside
from datagen.graph.grouping import Column

Forms: TypeAlias = Mapping[str, "str | Column"]
"""What values of a column look like, by its name: a regular expression, or all of them."""
FETCH_AGAIN = "fetch the file again"
_GZIP = b"\x1f\x8b"
_BLOCK = 16 << 20


def read_text(path: Path) -> str:
    """The whole file, decoded as UTF-8 with or without a byte order mark."""
    with named_errors(path), _open(path) as file:
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
    forms: Forms | None = None,
) -> pa.Table:
    """The named columns as strings, in the order of the rows; an optional one that is not there is empty.

    Lines before the header or the first row that begin with `#` are skipped. The header's names may differ from
    `columns` in case, underscores and a leading `#`; `header` gives the names where the file has none. The delimiter is
    a tab where the header has one, else a comma. `where` keeps rows while they are read, so a selection from gigabytes
    fits. Rows with too few or too many columns, or with a value that is not UTF-8 or not of its column's
    form, are set aside (`datagen.graph.bad_rows`).
    """
    skipped, header, delimiter = _header(path, columns, header, delimiter)
    found = {_plain(name): name for name in header}
    wanted = {name: found[_plain(name)] for name in (*columns, *optional) if _plain(name) in found}
    missing = [name for name in columns if name not in wanted]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)} in its header; give a file of this form in UTF-8")

    ragged: list[int] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        ragged.append(row.number)
        return "skip"

    parse = pa_csv.ParseOptions(
        delimiter=delimiter, quote_char=quoted and '"', newlines_in_values=quoted, invalid_row_handler=skip
    )
    convert = pa_csv.ConvertOptions(
        include_columns=list(wanted.values()), column_types=dict.fromkeys(header, pa.binary())
    )
    read = pa_csv.ReadOptions(use_threads=False, skip_rows=skipped, column_names=list(header), block_size=_BLOCK)
    batches, unfit, n_rows = [], {}, 0
    with named_errors(path), _open(path) as file, pa_csv.open_csv(file, read, parse, convert) as reader:
        for batch in reader:
            rows, reasons = _fitting(pa.Table.from_batches([batch]).rename_columns(list(wanted)), forms or {})
            batches.append(rows if where is None else rows.filter(where))
            unfit.update({n_rows + place: reason for place, reason in reasons.items()})
            n_rows += len(batch)
    rows_before = np.sort(ragged) - np.arange(len(ragged)) - skipped - 1  # those with all columns
    places = np.fromiter(unfit, np.int64, len(unfit))
    numbers = skipped + 1 + places + np.searchsorted(rows_before, places, side="right")
    bad = dict.fromkeys(ragged, "columns") | dict(zip(numbers.tolist(), unfit.values(), strict=True))
    set_aside(path, bad, n_rows + len(ragged))
    if not n_rows:
        raise ValueError(f"{path}: holds no rows; {FETCH_AGAIN}")
    table = pa.concat_tables(batches)
    for name in optional:
        if name not in wanted:
            table = table.append_column(name, pa.repeat("", len(table)))
    return table.select([*columns, *optional])


def _fitting(rows: pa.Table, forms: Forms) -> tuple[pa.Table, dict[int, str]]:
    """The rows, given as bytes, that are UTF-8 and of their columns' forms; and why not, by place, the others."""
    columns: dict[str, Column] = {}
    misfits: dict[str, Column] = {}
    for name in rows.column_names:
        try:
            columns[name] = rows[name].cast(pa.string())
        except pa.ArrowInvalid:
            columns[name] = pa.array(map(_decoded, rows[name].to_pylist()), pa.string())
            misfits[f"{name}_not_utf8"] = pc.is_null(columns[name])
        form = forms.get(name)
        if isinstance(form, str):
            misfits[name] = pc.invert(pc.match_substring_regex(columns[name], f"^({form})$"))
        elif form is not None:
            misfits[name] = pc.invert(pc.is_in(columns[name], value_set=form))
    reasons = {
        place: reason
        for reason, misfit in reversed(misfits.items())  # what is not UTF-8 is not of the form either
        for place in np.flatnonzero(misfit.fill_null(False)).tolist()
    }
    fits = np.ones(len(rows), bool)
    fits[list(reasons)] = False
    return pa.table(columns).filter(pa.array(fits)) if reasons else pa.table(columns), reasons


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def find_file(folder: Path, *stems: str) -> Path:
    """The file of the folder whose name, without case and endings, is one of `stems`."""
    found = [path for path in listed(folder) if path.name.lower().partition(".")[0] in stems]
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
    first = first_line(path)
    return [_plain(name) for name in first.split("\t" if "\t" in first else ",")]


def first_line(path: Path) -> str:
    """The first line of the file; empty where there is none."""
    return next(_lines(path), "")


def _header(
    path: Path, columns: Sequence[str], header: Sequence[str] | None, delimiter: str | None
) -> tuple[int, Sequence[str], str]:
    """The number of lines before the rows, the names of the columns and the delimiter."""
    for number, line in enumerate(_lines(path)):
        splits_at = delimiter or ("\t" if "\t" in line else ",")
        names = header or [name.strip('"') for name in line.rstrip("\r\n").split(splits_at)]
        is_header = not header and {*map(_plain, columns)} <= {*map(_plain, names)}
        if is_header or not line.startswith("#"):
            return number + (not header), names, splits_at
    raise ValueError(f"{path}: the file is empty; {FETCH_AGAIN}")


def _plain(name: str) -> str:
    return name.strip().strip('"').lstrip("#").replace("_", "").lower()


def _lines(path: Path) -> Iterator[str]:
    with named_errors(path), _open(path) as file:
        yield from (line.decode("utf-8-sig", "replace") for line in file)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
        raw.seek(0)
        with gzip.open(raw) if zipped else raw as file:
            yield file  # type: ignore[misc]


@contextmanager
def named_errors(path: Path, other_form: str = "") -> Iterator[None]:
    """Raises what goes wrong with a file in the context as a ValueError that names it and says what to do.

    `other_form` says so for a file whose parts are not what the context takes them for.
    """
    try:
        yield
        return
    except (EOFError, gzip.BadGzipFile, zlib.error):
        problem = f"the gzip data is cut or damaged; {FETCH_AGAIN}"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); check the path"
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start}; {FETCH_AGAIN} or convert it"
    except json.JSONDecodeError as error:
        problem = f"the JSON breaks off or is damaged at {error}; {FETCH_AGAIN}"
    except ParseError as error:
        problem = f"the XML breaks off or is damaged ({error}); {FETCH_AGAIN}"
    except pa.ArrowInvalid as error:
        problem = "holds no rows" if "Empty CSV" in str(error) else f"cannot be read as a table ({error})"
        problem += f"; {FETCH_AGAIN}, or convert it to UTF-8"
    except (KeyError, TypeError, AttributeError):
        if not other_form:
            raise
        problem = other_form
    raise ValueError(f"{path}: {problem}") from None
