"""The types of the database driver, named here alone so that the driver can be replaced.

Everything else in `models` and `realtime` takes a `Database` or a `Collection` of this module.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError

__all__ = [
    "BulkWriteError",
    "Client",
    "Collection",
    "CollectionOf",
    "Database",
    "Document",
    "DuplicateKeyError",
    "ObjectId",
    "OperationFailure",
    "PyMongoError",
]

Document: TypeAlias = dict[str, Any]
Client: TypeAlias = AsyncIOMotorClient[Document]
Database: TypeAlias = AsyncIOMotorDatabase[Document]
Collection: TypeAlias = AsyncIOMotorCollection[Document]

D = TypeVar("D", bound=Mapping[str, Any])
CollectionOf: TypeAlias = AsyncIOMotorCollection[D]
"""A collection whose documents have a `TypedDict`."""
