"""Tables for a terminal of 80 columns."""

import rich.table

from reporting.page import Table


def terminal_table(table: Table, title: str) -> rich.table.Table:
    """Without lines, and with headers broken before a cut-off, so that it stays narrow."""
    shown = rich.table.Table(title=title, box=None, pad_edge=False, collapse_padding=True)
    for at, column in enumerate(table.header):
        shown.add_column(column.replace("@", " @"), justify="right" if at else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    return shown
