"""Tables for a terminal of 80 columns, or for a log."""

import rich.table
from rich.console import Console

from reporting.page import Table

LOG_COLUMNS = 120


def print_table(table: Table, title: str) -> None:
    """As wide as the terminal, or as LOG_COLUMNS where the output is none."""
    console = Console()
    console.width = console.width if console.is_terminal else LOG_COLUMNS
    console.print(terminal_table(table, title))


def terminal_table(table: Table, title: str) -> rich.table.Table:
    """Without lines, and with headers broken before a cut-off, so that it stays narrow."""
    shown = rich.table.Table(title=title, box=None, pad_edge=False, collapse_padding=True)
    for at, column in enumerate(table.header):
        shown.add_column(column.replace("@", " @"), justify="right" if at else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    return shown
