"""Tokens of an identity provider: JWT (RFC 7519) by OpenID Connect, signed with a key of the issuer's JWKS."""

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic
from typing import Any

import httpx
import jwt
from pydantic import BaseModel, Field

from serving.access.caller import Caller, Scope, refuse
from serving.problems import ProblemError

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Signatures with a private key: with a shared one, whoever can check a token can make one."""
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
FETCH_PAUSE_S = 10.0
"""Between two fetches: tokens with made-up key ids cannot make the service ask its issuer without end."""
FETCH_TIMEOUT_S = 5.0
logger = logging.getLogger("ray.serve")


class OidcSettings(BaseModel):
    """Whose tokens are taken, and what in them says what the bearer may do."""

    issuer: str
    audience: str
    jwks_url: str | None = None
    """Where the issuer's keys are; without it the issuer's `/.well-known/openid-configuration` says so."""
    scope_prefix: str = "drehr:"
    """Of the scopes in the claim `scope`: `drehr:read drehr:write`."""
    policy_claim: str = "drehr_policy"
    """The claim that names the policy."""
    jwks_max_age_s: float = Field(default=300.0, gt=0)
    """After half of it the keys are fetched again; those that are known serve on when the issuer does not answer."""


class TokenChecker:
    """Checks tokens against the issuer's keys, which it fetches when it needs them."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def caller(self, token: str) -> Caller:
        """Who bears the token. Raises ProblemError: 401 for one that is not valid, 503 while no keys can be had."""
        try:
            head = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise refuse("malformed_token", "this is neither an API key nor a JWT") from None
        if head.get("alg") not in ALGORITHMS:
            raise refuse("wrong_algorithm", f"tokens are to be signed with one of {', '.join(ALGORITHMS)}")
        key = await self._key(str(head.get("kid", "")))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise refuse("expired_token", "this token has expired") from None
        except jwt.InvalidIssuerError:
            raise refuse("wrong_issuer", "this token is of another issuer") from None
        except jwt.InvalidAudienceError:
            raise refuse("wrong_audience", "this token is for another audience") from None
        except jwt.InvalidSignatureError:
            raise refuse("bad_signature", "this token's signature is not the issuer's") from None
        except jwt.InvalidTokenError:
            raise refuse("invalid_token", "this token lacks a claim, or one of them is not valid") from None
        return self._caller(claims)

    async def refresh(self) -> None:
        """Fetch the keys again and again, beside the requests, until cancelled."""
        while True:
            is_there = await self._fetch()
            await asyncio.sleep(self._settings.jwks_max_age_s / 2 if is_there else FETCH_PAUSE_S)

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        granted, prefix = claims.get("scope", ""), self._settings.scope_prefix
        names = granted.split() if isinstance(granted, str) else [str(each) for each in granted or ()]
        scopes = frozenset(scope for scope in SCOPES if f"{prefix}{scope}" in names)
        policy = claims.get(self._settings.policy_claim)
        if not isinstance(policy, str):
            raise ProblemError(403, "no_policy", f"this token has no claim {self._settings.policy_claim}")
        return Caller(f"oidc:{claims['sub']}", scopes, policy)

    async def _key(self, identity: str) -> jwt.PyJWK:
        if not self._keys:
            async with self._fetching:  # The first fetch may be on its way.
                pass
        if identity not in self._keys and monotonic() - self._tried > FETCH_PAUSE_S:
            # Whoever asks meanwhile is answered with the keys that are known: nobody waits for somebody else's token.
            await self._fetch()
        if not self._keys:
            raise ProblemError(503, "no_issuer_keys", "the identity provider's keys cannot be had", retry_after_s=10)
        if identity not in self._keys:
            raise refuse("unknown_signing_key", "this token is signed with a key that the issuer does not publish")
        return self._keys[identity]

    async def _fetch(self) -> bool:
        """Take over the issuer's keys; those there are stay when it does not answer. Whether it did."""
        self._tried = monotonic()
        try:
            async with self._fetching, httpx.AsyncClient(timeout=FETCH_TIMEOUT_S) as client:
                url = self._settings.jwks_url or await self._published_url(client)
                answer = (await client.get(url)).raise_for_status().json()
            self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(answer).keys if key.key_id}
        except Exception as error:
            logger.warning("the identity provider's keys cannot be had: %s", type(error).__name__)
            return False
        return True

    async def _published_url(self, client: httpx.AsyncClient) -> str:
        where = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        return str((await client.get(where)).raise_for_status().json()["jwks_uri"])
