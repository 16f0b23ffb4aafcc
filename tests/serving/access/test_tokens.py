"""Tokens of an issuer that serves its keys over HTTP, as identity providers do."""

import asyncio

import pytest
from issuer import KEYS, Issuer

from serving.access import tokens
from serving.access.tokens import OidcSettings, TokenChecker
from serving.problems import ProblemError


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.stop()


@pytest.fixture
def checker(issuer):
    return TokenChecker(OidcSettings(issuer=issuer.url, audience="drehr"))


def caller(checker, token):
    return asyncio.run(checker.caller(token))


def refusal(checker, token):
    with pytest.raises(ProblemError) as error:
        caller(checker, token)
    return error.value.status, error.value.code


def test_a_token_says_who_may_do_what(issuer, checker):
    found = caller(checker, issuer.token())
    assert (found.name, found.scopes, found.policy) == ("oidc:ann", {"read"}, "ward")
    assert caller(checker, issuer.token(scope=["drehr:write", "drehr:admin"])).scopes == {"write", "admin"}
    assert caller(checker, issuer.token(scope=None)).scopes == set()
    assert caller(checker, issuer.token("elliptic", "ES256")).name == "oidc:ann"


@pytest.mark.parametrize(
    ("claims", "refused"),
    [
        ({"exp": 1}, (401, "expired_token")),
        ({"exp": None}, (401, "invalid_token")),
        ({"sub": None}, (401, "invalid_token")),
        ({"nbf": 2**32}, (401, "invalid_token")),
        ({"iss": "https://elsewhere"}, (401, "wrong_issuer")),
        ({"aud": "another"}, (401, "wrong_audience")),
        ({"drehr_policy": None}, (403, "no_policy")),
        ({"drehr_policy": ["ward"]}, (403, "no_policy")),
    ],
)
def test_claims_that_do_not_hold_are_refused(issuer, checker, claims, refused):
    assert refusal(checker, issuer.token(**claims)) == refused


def test_a_bad_signature_is_refused(issuer, checker):
    assert refusal(checker, issuer.token("one", key=KEYS["two"])) == (401, "bad_signature")
    head, _, signature = issuer.token().split(".")
    _, others, _ = issuer.token(drehr_policy="all").split(".")
    assert refusal(checker, f"{head}.{others}.{signature}") == (401, "bad_signature")


def test_a_token_of_an_algorithm_without_a_private_key_is_refused(issuer, checker):
    shared = "known to whoever can check a token, so that all of them can make one"
    assert refusal(checker, issuer.token(algorithm="HS256", key=shared)) == (401, "wrong_algorithm")
    assert refusal(checker, issuer.token(algorithm="none", key="")) == (401, "wrong_algorithm")


@pytest.mark.parametrize("sent", ["x", "a.b.c", "é.é.é", "eyJhbGciOiJSUzI1NiJ9..", "." * 100])
def test_what_is_no_token_is_refused(checker, sent):
    assert refusal(checker, sent)[0] == 401


def test_keys_are_fetched_once_and_again_for_a_new_one_but_not_without_end(issuer, checker, monkeypatch):
    for _ in range(3):
        caller(checker, issuer.token())
    assert issuer.asked == 1
    issuer.published = ["two"]
    assert refusal(checker, issuer.token("two")) == (401, "unknown_signing_key"), "a moment after the last fetch"
    assert issuer.asked == 1
    monkeypatch.setattr(tokens, "FETCH_PAUSE_S", 0)
    assert caller(checker, issuer.token("two")).name == "oidc:ann"
    assert refusal(checker, issuer.token("one")) == (401, "unknown_signing_key"), "no longer published"


def test_known_keys_serve_on_while_the_issuer_is_down(issuer, checker, monkeypatch):
    caller(checker, issuer.token())
    issuer.is_down = True
    monkeypatch.setattr(tokens, "FETCH_PAUSE_S", 0)
    assert refusal(checker, issuer.token("two")) == (401, "unknown_signing_key")
    assert caller(checker, issuer.token()).name == "oidc:ann"
    assert issuer.asked == 1, "the second time it did not even say where"


def test_a_key_that_is_withdrawn_goes_without_anybody_waiting_for_it(issuer, monkeypatch):
    async def a_while():
        refreshing = asyncio.create_task(checker.refresh())
        while issuer.asked < 2:
            await asyncio.sleep(0.01)
        await checker.caller(issuer.token())
        issuer.published = ["two"]
        asked = issuer.asked
        while issuer.asked < asked + 2:
            await asyncio.sleep(0.01)
        refreshing.cancel()

    checker = TokenChecker(OidcSettings(issuer=issuer.url, audience="drehr", jwks_max_age_s=0.02))
    asyncio.run(a_while())
    assert refusal(checker, issuer.token("one")) == (401, "unknown_signing_key")


def test_without_keys_nobody_is_let_in(issuer, checker):
    issuer.is_down = True
    assert refusal(checker, issuer.token()) == (503, "no_issuer_keys")
