import json
import pickle
from typing import get_args

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import datagen.tasks
from datagen.annotators.base import Kind
from datagen.assertion import Assertion
from datagen.tasks import load_task, task_names
from datagen.tasks.base import Parsed, Prompt, UnusableAnswer

TASKS = {name: load_task(name) for name in task_names()}
PROMPT = {"system": "List {variant}.", "user": "{text}", "variants": {"a": "drugs", "b": "tests"}, "max_tokens": 9}


def messages_of(task, text, variant, query="asthma"):
    return task.messages(text, variant, query if task.needs_query else "")


def test_the_tasks_are_the_folders():
    assert task_names() == ("abbreviations", "entities", "entities_json", "judge", "mentions", "questions")


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no task 'summaries'; known: abbreviations, entities, "):
        load_task("summaries")


@pytest.fixture
def add_task(tmp_path, monkeypatch):
    """Adds a folder beside the packaged ones, nothing else."""
    monkeypatch.setattr(datagen.tasks, "__path__", [*datagen.tasks.__path__, str(tmp_path)])

    def add(name, prompt, schema=None, parser="def parse(answer):\n    return [answer]"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "parser.py").write_text(parser)
        (tmp_path / name / "prompt.yaml").write_text(prompt if isinstance(prompt, str) else yaml.safe_dump(prompt))
        if schema:
            (tmp_path / name / "schema.json").write_text(schema)

    return add


def test_a_folder_is_a_task(add_task):
    add_task("added_text", PROMPT)
    task = load_task("added_text")
    assert "added_text" in task_names()
    assert (task.name, task.variants, task.max_tokens, task.schema) == ("added_text", ("a", "b"), 9, None)
    assert task.messages("note", "b") == [
        {"role": "system", "content": "List tests."},
        {"role": "user", "content": "note"},
    ]
    assert task.parse("any", False) == Parsed(["any"], False)


def test_a_folder_with_a_schema_is_a_task_of_json(add_task):
    schema = {"type": "object", "properties": {"drugs": {"type": "array", "items": {"type": "string"}}}}
    add_task("added_json", PROMPT, json.dumps(schema), "def parse(answer):\n    return answer['drugs']")
    task = load_task("added_json")
    assert task.schema == schema
    assert task.parse('{"drugs": ["heparin", "asp', True) == Parsed(["heparin"], True)


@pytest.mark.parametrize(
    ("name", "prompt", "schema", "message"),
    [
        ("bad_key", PROMPT | {"model": "x"}, None, "model\n.*Extra inputs"),
        ("bad_yaml", "system: [", None, "parsing a flow node"),
        ("bad_json", PROMPT, "{", "Expecting property name"),
        ("bad_schema", PROMPT, '{"type": "list"}', "'list' is not valid"),
    ],
)
def test_what_a_folder_holds_is_checked_and_the_task_named(add_task, name, prompt, schema, message):
    add_task(name, prompt, schema)
    with pytest.raises(ValueError, match=f"(?s)task {name}: .*{message}"):
        load_task(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": "List."}, r"put \{text\} there once"),
        ({"user": "{text} {text}"}, r"put \{text\} there once"),
        ({"user": "{text} {note}"}, r"nothing to put for \{note\}"),
        ({"system": "{text}"}, r"nothing to put for \{text\}"),
        ({"system": "{variant} {query}"}, r"nothing to put for \{query\}"),
        ({"system": "List."}, "variants: list them where"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_a_prompt_that_cannot_be_filled_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Prompt(**PROMPT | change)


def test_a_variant_without_words_is_refused():
    with pytest.raises(ValueError, match="variants: list them where"):
        Prompt(system="List {variant}.", user="{text}", max_tokens=9)


@pytest.mark.parametrize("name", TASKS)
@given(text=st.text(), query=st.text(min_size=1))
@example(text="{text} {query} {variant} {0} {} }{ \\1 {{text}}", query="{text}")
def test_messages_hold_text_and_query_verbatim_and_the_instruction_depends_on_neither(name, text, query):
    task = TASKS[name]
    for variant in task.variants:
        system, user = messages_of(task, text, variant, query)
        assert text in user["content"]
        assert query in user["content"] or not task.needs_query
        assert system == messages_of(task, "", variant)[0]
        assert (system["role"], user["role"]) == ("system", "user")


def test_a_text_between_the_same_words_is_all_that_differs():
    first, second = (TASKS["entities"].messages(text, "diagnosis")[1]["content"] for text in ("{text}", "fever"))
    assert first.replace("{text}", "fever") == second


def test_the_types_of_one_passage_share_their_beginning():
    diagnosis, procedure = (TASKS["entities"].messages("note", each) for each in ("diagnosis", "procedure"))
    assert diagnosis[0] == procedure[0]
    assert diagnosis[1]["content"].split("note")[0] == procedure[1]["content"].split("note")[0]
    assert diagnosis[1] != procedure[1]


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="task entities has no variant 'drug'; known: diagnosis, procedure, presc"):
        TASKS["entities"].messages("note", "drug")


def test_a_missing_query_is_refused():
    with pytest.raises(ValueError, match="task judge needs a query"):
        TASKS["judge"].messages("note")


def test_a_query_that_is_not_read_is_refused():
    with pytest.raises(ValueError, match="task mentions reads no query"):
        TASKS["mentions"].messages("note", query="asthma")


def test_the_labels_are_those_of_the_package():
    assertion = TASKS["mentions"].schema["properties"]["mentions"]["items"]["properties"]["assertion"]
    assert assertion["enum"] == list(get_args(Assertion))
    assert TASKS["entities"].variants == get_args(Kind)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_and_their_errors_travel_to_workers(name):
    task = pickle.loads(pickle.dumps(TASKS[name]))
    assert messages_of(task, "note", task.variants[0]) == messages_of(TASKS[name], "note", task.variants[0])
    with pytest.raises(UnusableAnswer) as caught:
        task.parse("", False)
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.schema])
def test_guided_decoding_takes_the_schema_and_the_example(name):
    testing = pytest.importorskip("xgrammar.testing", reason="xgrammar comes with vLLM")
    from xgrammar import Grammar

    grammar = Grammar.from_json_schema(json.dumps(TASKS[name].schema))
    shown = messages_of(TASKS[name], "note", "")[0]["content"].split("Example answer: ")[1].split("\nThe same")[0]
    assert testing._is_grammar_accept_string(grammar, shown.strip())
    assert not testing._is_grammar_accept_string(grammar, '{"other": []}')
    assert TASKS[name].parse(shown, False).items
