from ray_jobs.example_searches import SHOWN, _snippet


def hit(text, *words):
    spans = [(text.index(word), text.index(word) + len(word)) for word in words]
    return {"text": text, "highlights": spans}


def test_highlights_are_marked():
    assert _snippet(hit("no acute distress", "acute")).plain == "   no »acute« distress"


def test_the_passage_with_most_highlights_is_shown():
    text = "rate well " + "x" * 400 + " diabetes is poorly controlled " + "y" * 400
    shown = _snippet(hit(text, "well", "diabetes", "poorly", "controlled")).plain
    assert "»diabetes« is »poorly« »controlled«" in shown
    assert "well" not in shown
    assert len(shown) <= SHOWN + len("   ") + 6


def test_a_hit_without_a_highlight_shows_its_beginning():
    assert _snippet(hit("a" * 500)).plain == "   " + "a" * SHOWN
