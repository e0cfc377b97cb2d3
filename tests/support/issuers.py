"""Other issuers for tests: their keys, their tokens, and the server of their key set."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

KINDS = ("RS256", "ES256", "EdDSA")
Jwk = dict[str, Any]


@cache
def private_key(algorithm: str, name: str = "") -> Any:
    """One for each name; the same whenever it is asked for."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 1024 if name == "short" else 2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def pem(algorithm: str, name: str = "") -> str:
    public = private_key(algorithm, name).public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(algorithm: str, name: str = "", **more: object) -> Jwk:
    """The public key as a member of a key set, its name being its id."""
    writers: dict[str, type[Algorithm]]
    writers = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    found: Jwk = json.loads(writers[algorithm].to_jwk(private_key(algorithm, name).public_key()))
    found.pop("key_ops", None)
    return {**found, "kid": name, **more}


def token_of(
    algorithm: str,
    name: str = "",
    *,
    header: dict[str, Any] | None = None,
    now_s: float | None = None,
    **claims: Any,
) -> str:
    """Signed by this key, good for ten minutes from `now_s`; a claim of None is left out."""
    began_s = time.time() if now_s is None else now_s
    found = {"sub": "ada", "iat": int(began_s), "exp": int(began_s) + 600} | claims
    said = {"kid": name} if header is None else header
    kept = {claim: value for claim, value in found.items() if value is not None}
    # Not `jwt.encode`, which refuses to write some of what we have to refuse to read.
    payload = json.dumps(kept).encode()
    return jwt.PyJWS().encode(payload, private_key(algorithm, name), algorithm, headers=said)


def by_hand(header: Any, payload: Any, sign: Callable[[bytes], bytes]) -> str:
    """What no library would write: any header, signed by anything."""
    text = base64url(header) + b"." + base64url(payload)
    return (text + b"." + base64url(sign(text))).decode()


def base64url(value: Any) -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def hmac_by(secret: bytes, digest: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda text: hmac.digest(secret, text, digest)


def signer(algorithm: str, name: str = "", *, by: str | None = None) -> Callable[[bytes], bytes]:
    """Signs with this key, by its own algorithm or by another of its family."""
    maker = jwt.get_algorithm_by_name(by or algorithm)
    return lambda text: bytes(maker.sign(text, private_key(algorithm, name)))


def with_payload(token: str, **claims: Any) -> str:
    """The same token with other claims, and its old signature."""
    head, _, signature = token.split(".")
    return f"{head}.{base64url(claims).decode()}.{signature}"


class KeyServer:
    """Serves a key set on the loopback interface, or whatever `answer` does."""

    def __init__(self) -> None:
        self.keys: list[Jwk] = []
        self.asked: list[str] = []
        """The paths of all requests."""
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.serve_keys
        self.url = ""

    def serve_keys(self, request: BaseHTTPRequestHandler) -> None:
        send(request, 200, json.dumps({"keys": self.keys}).encode())


def send(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def key_server() -> Iterator[KeyServer]:
    found = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            try:
                found.answer(self)
            except OSError:
                self.close_connection = True  # the client had enough

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
