"""Backups in the format of `mongodump`, made and restored by the driver.

A folder a database: `<collection>.bson` holds its documents one after the other, and
`<collection>.metadata.json` its indexes, in extended JSON.
"""

from pathlib import Path
from typing import Any

import bson
import pymongo
from bson import json_util
from bson.raw_bson import RawBSONDocument

Database = pymongo.database.Database[dict[str, Any]]
TOGETHER = 1000


def dump(db: Database, folder: Path) -> None:
    """Write all collections into a new folder."""
    folder.mkdir()
    raw = db.with_options(bson.CodecOptions(document_class=RawBSONDocument))
    for name in db.list_collection_names():
        with (folder / f"{name}.bson").open("wb") as file:
            for document in raw[name].find():
                file.write(document.raw)
        about = {"indexes": list(db[name].list_indexes()), "collectionName": name}
        (folder / f"{name}.metadata.json").write_text(json_util.dumps(about))


def restore(folder: Path, db: Database) -> None:
    """Write what was dumped into an empty database: documents first, then indexes."""
    for path in sorted(folder.glob("*.metadata.json")):
        about = json_util.loads(path.read_text())
        name = about["collectionName"]
        with (folder / f"{name}.bson").open("rb") as file:
            some: list[dict[str, Any]] = []
            for document in bson.decode_file_iter(file):
                some.append(document)
                if len(some) == TOGETHER:
                    db[name].insert_many(some)
                    some = []
            if some:
                db[name].insert_many(some)
        indexes = [each for each in about["indexes"] if each["name"] != "_id_"]
        if indexes:
            db.command("createIndexes", name, indexes=indexes)
