from ray_jobs import progress as module
from ray_jobs.progress import Progress


def test_lines_give_share_time_and_eta_and_come_some_seconds_apart(monkeypatch, capsys):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = Progress()
    for _ in range(10):
        progress("chunks encoded", 100, 1000)
        now += 2.0
    assert capsys.readouterr().out.splitlines() == [
        "  chunks encoded: 400 of 1,000 (40%), 6 s, ETA 12 s",
        "  chunks encoded: 700 of 1,000 (70%), 12 s, ETA 6 s",
        "  chunks encoded: 1,000 of 1,000 (100%), 18 s",
    ]


def test_what_was_done_before_does_not_make_the_rest_look_quick(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = Progress()
    progress("calls answered", 900, 1000)
    now = 60.0
    progress("calls answered", 10, 1000)
    assert capsys.readouterr().out == "  calls answered: 910 of 1,000 (91%), 60 s, ETA 540 s\n"


def test_without_a_total_there_is_no_share(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = Progress()
    progress("rows read", 10, None)
    now = 6.0
    progress("rows read", 10, None)
    assert capsys.readouterr().out == "  rows read: 20, 6 s\n"
