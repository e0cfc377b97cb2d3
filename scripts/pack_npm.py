"""Packs the client library as an npm package: dist/focusup-VERSION.tgz.

What must always hold: the package has the files that the server serves, and its version; the
same files make the same package, byte for byte.
"""

import gzip
import io
import json
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "focusup" / "web" / "static"
FILES = {
    "focusup.js": STATIC / "focusup.js",
    "focusup.d.ts": STATIC / "focusup.d.ts",
    **{f"client/{path.name}": path for path in sorted((STATIC / "client").glob("*.js"))},
    "README.md": ROOT / "scripts" / "npm_readme.md",
    "LICENSE": ROOT / "LICENSE",
}
EPOCH = 499_162_500
"""The instant that npm gives to all files of a package: in zip files time begins in 1980."""


def pack(directory: Path) -> Path:
    """The package, written into this directory."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    contents = {"package.json": described(project)}
    contents |= {name: path.read_bytes() for name, path in FILES.items()}
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size, member.mtime, member.mode = len(content), EPOCH, 0o644
            archive.addfile(member, io.BytesIO(content))
    directory.mkdir(parents=True, exist_ok=True)
    packed = directory / f"{project['name']}-{project['version']}.tgz"
    packed.write_bytes(gzip.compress(unpacked.getvalue(), mtime=0))
    return packed


def described(project: dict[str, str]) -> bytes:
    """`package.json`, from what pyproject.toml says."""
    package = {
        "name": project["name"],
        "version": project["version"],
        "description": f"{project['description']}: the client library",
        "license": project["license"],
        "type": "module",
        "exports": {".": {"types": "./focusup.d.ts", "default": "./focusup.js"}},
        "sideEffects": False,
        "engines": {"node": ">=20"},
    }
    return (json.dumps(package, indent=2) + "\n").encode()


if __name__ == "__main__":
    print(pack(Path(sys.argv[1])))
