"""The client against a real HTTP server that misbehaves, and against none."""

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import Sequence

import pytest
from misbehaving_server import MisbehavingServer, Reply, answer, chat_completion, error
from openai._constants import MAX_RETRY_AFTER_DELAY
from pydantic import ValidationError

from datagen.engines import endpoint
from datagen.engines.base import CallFailed, Completion, EngineDown, Request
from datagen.engines.endpoint import Endpoint, EndpointSettings

CANARY = "zanzibarcanary"
REQUEST = Request(
    [{"role": "system", "content": "List."}, {"role": "user", "content": f"Seen for {CANARY}."}], 64, 0.5, None
)
SCHEMA = {"type": "object", "properties": {"names": {"type": "array", "items": {"type": "string"}}}}
JSON = {"content-type": "application/json"}
SOON = {"retry_after_ms": "1"}


async def ask(url: str, request: Request = REQUEST, calls: int = 1, **settings: object) -> list[object]:
    """What `calls` calls, one after the other, returned or raised."""
    client = Endpoint(EndpointSettings(url=url, model="tiny", **settings))
    outcomes: list[object] = []
    for _ in range(calls):
        try:
            outcomes.append(await client.complete(request))
        except (CallFailed, EngineDown) as failure:
            outcomes.append(failure)
    await client.close()
    return outcomes


def outcomes_of(replies: Sequence[Reply], calls: int = 1, **settings: object) -> tuple[list[object], MisbehavingServer]:
    with MisbehavingServer(replies) as server:
        return asyncio.run(ask(server.url, calls=calls, **settings)), server


def failure_of(*replies: Reply, **settings: object) -> tuple[object, int]:
    """The reason code that one call failed with (or what it gave instead), and how often the server was asked."""
    [outcome], server = outcomes_of(replies, **settings)
    return getattr(outcome, "reason", outcome), len(server.received)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_an_answer_comes_with_its_tokens():
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 16}}
    [completion], server = outcomes_of([answer("- sepsis", usage=usage)])
    assert completion == Completion("- sepsis", False, 30, 4, 16)
    [received] = server.received
    assert received.path == "/v1/chat/completions"
    assert received.body == {
        "model": "tiny",
        "messages": REQUEST.messages,
        "max_tokens": 64,
        "temperature": 0.5,
    }


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens_details": None}])
def test_missing_usage_counts_nothing(usage):
    [completion], _ = outcomes_of([answer(usage=usage)])
    assert completion == Completion("sepsis", False, 0, 0, 0)


def test_a_schema_is_asked_for_strictly():
    with MisbehavingServer([answer('{"names": []}')]) as server:
        asyncio.run(ask(server.url, REQUEST._replace(schema=SCHEMA)))
    asked = server.received[0].body["response_format"]
    assert asked == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}


def test_a_truncated_list_is_marked_and_kept():
    [completion], _ = outcomes_of([answer('{"names": ["sepsis", "pneu', finish_reason="length")])
    assert completion == Completion('{"names": ["sepsis", "pneu', True, 0, 0, 0)


def test_429_is_asked_again_after_the_time_that_the_server_names():
    [completion], server = outcomes_of([error(429, retry_after="1"), answer()])
    first, second = server.received
    assert completion == Completion("sepsis", False, 0, 0, 0)
    assert second.at - first.at >= 1


def test_429_for_ever_loses_the_call_after_its_tries():
    assert failure_of(error(429, **SOON), tries=3) == ("rate_limited", 3)


def test_a_wait_beyond_what_is_waited_for_stops_the_job():
    [outcome], server = outcomes_of([error(429, retry_after="86400")])
    assert isinstance(outcome, EngineDown)
    assert "86400 s" in str(outcome)
    assert len(server.received) == 1


def test_the_longest_wait_is_the_clients_own():
    """Between the two, calls would neither wait nor stop the job."""
    assert endpoint.LONGEST_WAIT_S == MAX_RETRY_AFTER_DELAY


def test_a_date_to_wait_for_is_read():
    [outcome], _ = outcomes_of([error(503, retry_after="Fri, 31 Dec 2100 23:59:59 GMT")])
    assert isinstance(outcome, EngineDown)


def test_a_retry_after_that_is_no_time_is_passed_over():
    assert failure_of(error(503, retry_after="soon"), tries=1) == ("server_error", 1)


def test_500_is_asked_again():
    [completion], server = outcomes_of([error(500, **SOON), answer()])
    assert completion == Completion("sepsis", False, 0, 0, 0)
    assert len(server.received) == 2


@pytest.mark.parametrize(("status", "reason"), [(500, "server_error"), (503, "server_error"), (408, "timeout")])
def test_a_server_that_stays_broken_loses_the_call(status, reason):
    assert failure_of(error(status, **SOON), tries=2) == (reason, 2)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_not_asked_again(status):
    assert failure_of(error(status)) == ("refused_request", 1)


def test_a_dropped_connection_is_asked_again():
    dropped = answer()._replace(unsent=10)
    [completion], server = outcomes_of([dropped, answer()])
    assert completion == Completion("sepsis", False, 0, 0, 0)
    assert len(server.received) == 2


def test_a_connection_dropped_every_time_loses_the_call():
    assert failure_of(answer()._replace(unsent=10), tries=2) == ("unreachable", 2)


def test_nobody_there_loses_the_call():
    [outcome] = asyncio.run(ask(f"http://127.0.0.1:{closed_port()}/v1", tries=1))
    assert isinstance(outcome, CallFailed)
    assert outcome.reason == "unreachable"


def test_a_slow_answer_is_given_up():
    reason, _ = failure_of(answer(delay_s=2), tries=1, timeout_s=0.2)
    assert reason == "timeout"


def test_an_answer_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(endpoint, "LONGEST_WAIT_S", 0)
    reason, _ = failure_of(answer()._replace(pause_s=0.02), tries=1, timeout_s=0.5)
    assert reason == "timeout"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(b"\xff\xfe\x00", headers=JSON), id="not text"),
        pytest.param(Reply(answer().body[:-20], headers=JSON), id="cut-off JSON"),
        pytest.param(Reply(b"<html>Welcome</html>", headers={"content-type": "text/html"}), id="HTML"),
        pytest.param(Reply(b"", headers=JSON), id="nothing"),
        pytest.param(Reply(b"[]", headers=JSON), id="a list"),
        pytest.param(Reply(json.dumps({**chat_completion(), "choices": []}).encode()), id="no choices"),
        pytest.param(Reply(json.dumps({"error": {"message": "overloaded"}}).encode()), id="an error with 200"),
        pytest.param(answer(content=None), id="no content"),
        pytest.param(answer(content="  \n"), id="empty content"),
        pytest.param(answer(content=7), id="a number for content"),
        pytest.param(answer(usage={"prompt_tokens": "many"}), id="words for counts"),
        pytest.param(answer(finish_reason="abort"), id="aborted"),
    ],
)
def test_an_answer_of_another_form_is_garbage(reply):
    assert failure_of(reply) == ("garbage", 1)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer("", finish_reason="content_filter"), id="finish reason"),
        pytest.param(
            Reply(json.dumps(chat_completion(None)).replace('"refusal": null', '"refusal": "No."').encode()),
            id="refusal",
        ),
        pytest.param(error(400, code="content_filter"), id="prompt"),
    ],
)
def test_what_the_vendor_filters_is_told_apart(reply):
    assert failure_of(reply) == ("content_filter", 1)


@pytest.mark.parametrize(
    ("status", "setting"), [(401, "api_key_env"), (403, "api_key_env"), (404, "model"), (405, "url"), (402, "account")]
)
def test_what_no_call_survives_stops_the_job(status, setting):
    [outcome], server = outcomes_of([error(status)])
    assert isinstance(outcome, EngineDown)
    assert server.url in str(outcome)
    assert setting in str(outcome)
    assert len(server.received) == 1


def test_a_redirect_is_not_followed():
    with MisbehavingServer([answer()]) as elsewhere:
        moved = Reply(b"", 307, {"location": elsewhere.url + "/chat/completions"})
        [outcome], _ = outcomes_of([moved])
    assert isinstance(outcome, EngineDown)
    assert "redirects" in str(outcome)
    assert elsewhere.received == []


@pytest.mark.parametrize("reply", [error(500), error(429), answer()._replace(unsent=10)])
def test_a_run_of_lost_calls_stops_the_job(reply):
    outcomes, server = outcomes_of([reply], calls=20, tries=1, concurrency=1)
    assert [type(outcome) for outcome in outcomes] == [CallFailed] * 19 + [EngineDown]
    assert server.url in str(outcomes[-1])


def test_the_run_is_twice_the_concurrency():
    outcomes, _ = outcomes_of([error(500)], calls=22, tries=1, concurrency=11)
    assert [type(outcome) for outcome in outcomes] == [CallFailed] * 21 + [EngineDown]


def test_one_answer_ends_the_run(monkeypatch):
    monkeypatch.setattr(endpoint, "PATIENCE_S", 0)
    outcomes, _ = outcomes_of([error(500)] * 19 + [answer(), error(500)], calls=40, tries=1, concurrency=1)
    assert [type(outcome) for outcome in outcomes] == [CallFailed] * 19 + [Completion] + [CallFailed] * 19 + [
        EngineDown
    ]


def test_an_endpoint_that_has_answered_is_waited_for(monkeypatch):
    monkeypatch.setattr(endpoint, "PAUSE_S", 0.3)
    outcomes, server = outcomes_of([answer(), *[error(500)] * 22, answer()], calls=24, tries=1, concurrency=1)
    assert [type(outcome) for outcome in outcomes] == [Completion] + [CallFailed] * 22 + [Completion]
    assert server.received[-1].at - server.received[-2].at >= 0.3, "and not asked at once again"


@pytest.mark.parametrize("reply", [error(400), answer(""), answer("", finish_reason="content_filter")])
def test_calls_that_fail_by_themselves_stop_nothing(reply):
    outcomes, _ = outcomes_of([reply], calls=25, tries=1, concurrency=1)
    assert {type(outcome) for outcome in outcomes} == {CallFailed}


def test_no_more_calls_at_once_than_set():
    async def ask_many(url: str) -> None:
        client = Endpoint(EndpointSettings(url=url, model="tiny", concurrency=3))
        await asyncio.gather(*(client.complete(REQUEST) for _ in range(12)))
        await client.close()

    with MisbehavingServer([answer(delay_s=0.05)]) as server:
        asyncio.run(ask_many(server.url))
    assert len(server.received) == 12
    assert server.most_at_once == 3


def test_the_key_comes_from_the_variable_that_is_named(monkeypatch):
    monkeypatch.setenv("HOSPITAL_KEY", "secret-1\n")
    _, server = outcomes_of([answer()], api_key_env="HOSPITAL_KEY")
    assert server.received[0].headers["authorization"] == "Bearer secret-1"


def test_no_key_is_sent_that_was_not_named(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-2")
    _, server = outcomes_of([answer()])
    assert "secret-2" not in str(server.received)


def test_a_variable_without_a_key_stops_the_job(monkeypatch):
    monkeypatch.delenv("HOSPITAL_KEY", raising=False)
    with pytest.raises(EngineDown, match="HOSPITAL_KEY"):
        Endpoint(EndpointSettings(url="http://127.0.0.1/v1", model="tiny", api_key_env="HOSPITAL_KEY"))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"api_key_env": "sk-secret"}, id="a key for its variable"),
        pytest.param({"url": "https://me:secret@host/v1"}, id="a password in the address"),
        pytest.param({"url": "https://host/v1?key=secret"}, id="a key in the address"),
        pytest.param({"url": "host/v1"}, id="no scheme"),
        pytest.param({"key": "secret"}, id="unknown setting"),
        pytest.param({"tries": 0}, id="no try"),
        pytest.param({"concurrency": 0}, id="no call at once"),
    ],
)
def test_settings_are_refused_without_quoting_them(wrong):
    with pytest.raises(ValidationError) as refusal:
        EndpointSettings(**{"url": "https://host/v1", "model": "tiny", **wrong})
    assert next(iter(wrong)) in str(refusal.value)
    assert "secret" not in str(refusal.value)


class Listener(logging.Handler):
    """Every record of every logger, as it would be printed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.printed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.printed.append(logging.Formatter().format(record))


@pytest.fixture
def listener():
    root, listener = logging.getLogger(), Listener()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    yield listener
    root.removeHandler(listener)
    root.setLevel(level)


def test_notes_reach_no_log_and_no_exception(listener):
    """Though the server repeats them wherever HTTP has room: body, headers, reason phrase."""
    quoting = [
        answer(CANARY),
        answer(CANARY, finish_reason="abort"),
        answer(content=[CANARY]),
        answer(CANARY)._replace(unsent=10),
        Reply(f"<html>{CANARY}".encode(), headers={"content-type": "text/html", "x-prompt": CANARY}),
        *(error(status, message=CANARY, code=CANARY) for status in (400, 401, 404, 429, 500)),
    ]
    replies = [reply._replace(headers={**reply.headers, "x-prompt": CANARY}, phrase=CANARY) for reply in quoting]
    outcomes, server = outcomes_of(replies, calls=len(replies), tries=1)
    outcomes += asyncio.run(ask(f"http://127.0.0.1:{closed_port()}/v1", tries=1))
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert len(failures) == len(replies)
    assert CANARY in str(server.received)
    assert CANARY not in "\n".join(listener.printed)
    assert CANARY not in "".join("".join(traceback.format_exception(failure)) + repr(failure) for failure in failures)
