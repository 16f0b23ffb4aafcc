"""An identity provider that serves its keys over HTTP, and signs tokens."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

KEYS = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("one", "two")}
ELLIPTIC = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Publishes the keys in `published`; counts how often it is asked for them."""

    def __init__(self):
        issuer = self
        self.published, self.asked, self.is_down = ["one"], 0, False

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += self.path == "/keys"
                paths = {
                    "/.well-known/openid-configuration": {"jwks_uri": f"{issuer.url}/keys"},
                    "/keys": issuer.jwks(),
                }
                self.send_response(503 if issuer.is_down else 200)
                self.end_headers()
                self.wfile.write(json.dumps(paths[self.path]).encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def jwks(self):
        rsa_keys = [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[name].public_key(), as_dict=True), "kid": name, "alg": "RS256"}
            for name in self.published
        ]
        elliptic = jwt.algorithms.ECAlgorithm.to_jwk(ELLIPTIC.public_key(), as_dict=True)
        return {"keys": [*rsa_keys, {**elliptic, "kid": "elliptic", "alg": "ES256"}]}

    def token(self, kid="one", algorithm="RS256", key=None, **claims):
        now = int(time.time())
        known = {"iss": self.url, "aud": "drehr", "sub": "ann", "exp": now + 60, "scope": "openid drehr:read"}
        known |= {"drehr_policy": "ward", **claims}
        held = {name: value for name, value in known.items() if value is not None}
        return jwt.encode(held, KEYS.get(kid, ELLIPTIC) if key is None else key, algorithm, headers={"kid": kid})
