"""Where the test patients came from, as a field of a file."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from fedcxr.data.origin import TestSet


def _read_test_set(found: TestSet | Mapping[str, Any]) -> TestSet:
    return found if isinstance(found, TestSet) else TestSet.from_json(found)


StoredTestSet = Annotated[
    TestSet, BeforeValidator(_read_test_set), PlainSerializer(lambda found: found.to_json())
]
