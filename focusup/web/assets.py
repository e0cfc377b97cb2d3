"""Read files for browsers once, each with a tag that changes with its content.

Invariants:

- Only files in the directory are served, whatever the path of the request.
- A compressed answer has `Content-Encoding` and `Vary`.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quart import Request, Response

CONTENT_TYPES: Mapping[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
}
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_EACH_TIME = "no-cache"


@dataclass(frozen=True)
class Asset:
    """Something to send, as it is and compressed."""

    body: bytes
    content_type: str
    compressed: bytes = field(init=False)
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compressed", gzip.compress(self.body, mtime=0))
        object.__setattr__(self, "tag", hashlib.sha256(self.body).hexdigest()[:16])


class Assets:
    """The `files` below a directory, by path; `version` changes when any of them does."""

    def __init__(self, directory: Path) -> None:
        self.files = {
            path.relative_to(directory).as_posix(): Asset(
                path.read_bytes(), CONTENT_TYPES[path.suffix]
            )
            for path in sorted(directory.rglob("*"))
            if path.suffix in CONTENT_TYPES
        }
        together = "".join(name + asset.tag for name, asset in self.files.items())
        self.version = hashlib.sha256(together.encode()).hexdigest()[:12]


def send(request: Request, asset: Asset, headers: Mapping[str, str]) -> Response:
    """The asset, compressed where that is accepted; 304 if the browser has it already."""
    tag = f'W/"{asset.tag}"'  # weak: the same, however it is compressed
    common = {
        "ETag": tag,
        "Vary": "Accept-Encoding",
        **headers,
    }
    if request.if_none_match.contains_weak(asset.tag):
        return Response(b"", 304, common)
    if request.accept_encodings["gzip"] > 0:
        common["Content-Encoding"] = "gzip"
        return Response(asset.compressed, headers=common, content_type=asset.content_type)
    return Response(asset.body, headers=common, content_type=asset.content_type)
