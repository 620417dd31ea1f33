"""Types of the values in params.yaml, as pydantic checks them and the JSON schema shows them.

`errorMessage` in the schema of a type is what may stand there, in words: messages of `check` and
of editors say it. Types without one are described by their constraints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

__all__ = [
    "FINITE",
    "NAME",
    "REPEATED",
    "Asked",
    "GroupName",
    "InsideFolder",
    "Name",
    "OneOf",
    "Section",
    "Several",
    "Text",
    "Thousand",
    "accepts",
    "null_is",
]

REPEATED = "repeated"  # the type of the error of a value that occurs twice in a list


class Section(BaseModel):
    """A mapping of params.yaml: an unknown key is an error, nothing changes after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True
    )


def accepts(words: str) -> Any:
    """Say in words what a type accepts."""
    return Field(json_schema_extra={"errorMessage": words})


def null_is(words: str) -> Any:
    """Say in words what null means, of a mapping that may be null."""

    def describe(schema: Any) -> None:
        null = next(one for one in schema["anyOf"] if one.get("type") == "null")
        null["description"] = words

    return Field(json_schema_extra=describe)


class OneOf:
    """Text out of a list that code makes; where the list is written out, `Literal` is shorter."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = list(words)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.literal_schema(self.words)


class _Finite:
    """A finite number that stays as it is written: whole numbers do not become floats."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        number: Any = {**handler(source), "strict": True, "allow_inf_nan": False}

        def as_written(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
            check(value)
            return value

        same = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(as_written, number, serialization=same)


FINITE = _Finite()


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError(REPEATED, "a value occurs twice", {"index": index})
    return values


T = TypeVar("T")
_Unique = Annotated[T, Field(json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)]
Several = _Unique[Annotated[tuple[T, ...], Field(min_length=1, max_length=64)]]
Thousand = _Unique[Annotated[tuple[T, ...], Field(min_length=1, max_length=1000)]]

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Name = Annotated[
    str,
    Field(pattern=NAME),
    accepts("1 to 64 letters, digits, '-' and '_', the first a letter or digit"),
]
GroupName = Annotated[
    str,
    Field(pattern=r"^[CD]([1-9]|[1-5][0-9]|6[0-4])$"),
    accepts("C<n> or D<n> with n from 1 to 64"),
]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a character that cannot be shown")
    return text


Text = Annotated[
    str,
    Field(min_length=1, max_length=1000),
    AfterValidator(_printable),
    accepts("text of 1 to 1000 characters on one line"),
]


def _inside(path: str) -> str:
    if re.search(r"[:\\]", path) or path[0] in "/~" or ".." in path.split("/"):
        raise ValueError("outside of the project")
    return path


InsideFolder = Annotated[
    Text,
    AfterValidator(_inside),
    accepts(
        "a folder within the project, such as checkpoints; set GSA_STORAGE to write to "
        "any other folder or bucket, which a file never decides"
    ),
]
Asked = Annotated[
    str,
    OneOf(["cluster"]),
    accepts(
        "cluster, which asks the person who runs the study to set RAY_ADDRESS; a file never "
        "names an address, since what is there is sent code and data"
    ),
]
