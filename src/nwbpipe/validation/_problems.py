"""The one way from pydantic's errors to problems that name the place, what was expected, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from nwbpipe.errors import NwbpipeError, Problem, SpecError, suggest_names

Key = str | int
_MISTAKE = "nwbpipe"  # type of the errors that our own validators raise
_WRONG_TYPE = ("_type", "_parsing", "_from_float", "_attributes_type")
_NOISE = re.compile(r"^(Value error, )?(expected |Input should be |\w+ should have )?| after validation")
_WORDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "a text", "list": "a list",
    "tuple": "a list", "set": "a list",
}  # fmt: skip


def mistake(
    what: str, *key: Key, expected: str | None = None, found: str | None = None, hint: str | None = None
) -> PydanticCustomError:
    """Return the error with which a validator names a problem in its own words.

    Parameters
    ----------
    what, expected, found, hint : str
        See `Problem`; the value itself is `found` by default.
    *key : str or int
        Leads from the validated value to the faulty part of it.
    """
    context = {"what": what, "key": key, "expected": expected, "found": found, "hint": hint}
    return PydanticCustomError(_MISTAKE, "{what}", context)


def explain_keys(error: ValidationError, known: Mapping[str, Any]) -> ValidationError:
    """Return an error that also says which keys a mapping may have, and what the missing ones mean.

    Parameters
    ----------
    error : ValidationError
        From the validation of the mapping.
    known : mapping
        Its keys, with their `pydantic.fields.FieldInfo` where they have one.
    """
    details = []
    for fault in error.errors():
        context = dict(fault.get("ctx", {}))
        if len(fault["loc"]) == 1 and fault["type"] == "extra_forbidden":
            context["known"] = list(known)
        elif len(fault["loc"]) == 1 and fault["type"] == "missing":
            context["description"] = getattr(known.get(str(fault["loc"][0])), "description", None)
        kind = PydanticCustomError(fault["type"], fault["msg"], context)
        details.append(InitErrorDetails(type=kind, loc=fault["loc"], input=fault["input"]))
    return ValidationError.from_exception_data(error.title, details)


class StrictModel(BaseModel):
    """A mapping with fixed keys: an unknown one is a mistake that names the known ones. It can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="wrap")
    @classmethod
    def _explain_keys(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise explain_keys(error, cls.model_fields) from None


def _check_version(value: Any) -> Any:
    if str(value) != "1":
        msg = f"the version of the format is {'missing' if value is None else 'not supported'}"
        raise mistake(msg, expected="1", hint="write it in the first line")
    return 1


FormatVersion = Annotated[Literal[1], BeforeValidator(_check_version)]


def describe_value(value: Any) -> str:
    """Describe a value for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list of " + ", ".join(map(describe_value, value[:4])) if value else "an empty list"
    return repr(str(value) if isinstance(value, str) else value)[:200]


class ProblemCollector:
    """Collect the mistakes of one document, each with its place.

    Attributes
    ----------
    problems : list of Problem
        The mistakes so far.
    noun : str
        The word for a named value: "key", "parameter".
    mapping : str
        The words for a mapping in the document's language.
    example : str
        The line that gives a key a value, with ``{}`` for the key; "" for no advice.
    """

    noun = "key"
    mapping = "a mapping"
    example = ""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def locate(self, key: tuple[Key, ...]) -> tuple[str | None, str]:
        """Return the file and line of a key, and the key in words."""
        return None, ".".join(map(str, key))

    def add(
        self, what: str, *key: Key, expected: str | None = None, found: str | None = None, hint: str | None = None
    ) -> None:
        """Add a mistake at a key."""
        location = ": ".join(part for part in self.locate(key) if part)
        self.problems.append(Problem(what, location or None, expected, found, hint))

    def add_unknown(self, key: tuple[Key, ...], known: Collection[str]) -> None:
        """Add a key that is unknown."""
        expected = f"one of {', '.join(known)}" if known else None
        hint = suggest_names(str(key[-1]), known) or "remove it"
        self.add(f"the {self.noun} {str(key[-1])!r} is unknown", *key, expected=expected, hint=hint)

    def validate(self, kind: Any, value: Any, *key: Key, context: Any = None) -> Any:
        """Validate a value by a model or another type; return None, and add each mistake, if it has any."""
        try:
            return TypeAdapter(kind).validate_python(value, context=context)
        except ValidationError as error:
            self.add_faults(error, *key)
            return None

    def add_faults(self, error: ValidationError, *key: Key, known: Mapping[str, Any] | None = None) -> None:
        """Add each mistake that pydantic found at a key; for `known` see `explain_keys`."""
        for fault in (error if known is None else explain_keys(error, known)).errors():
            self._add_fault(fault, (*key, *(part for part in fault["loc"] if part != "[key]")))

    def _add_fault(self, fault: Any, key: tuple[Key, ...]) -> None:
        kind, context, found = fault["type"], fault.get("ctx", {}), describe_value(fault["input"])
        name = str(key[-1]) if key else ""
        if kind == _MISTAKE:
            found = context["found"] or found
            self.add(
                context["what"], *key, *context["key"], expected=context["expected"], found=found,
                hint=context["hint"],
            )  # fmt: skip
        elif kind == "extra_forbidden":
            self.add_unknown(key, context.get("known", ()))
        elif kind == "missing":
            line = f"add `{self.example.format(name)}`" if self.example else None
            holder = self.locate(key[:-1])[1]
            hint = f"{line} to {holder}" if line and holder else line
            self.add(f"the {self.noun} {name!r} is missing", *key, expected=context.get("description"), hint=hint)
        else:
            msg, expected, hint = self._describe_fault(kind, fault["msg"], name)
            self.add(msg, *key, expected=expected, found=found, hint=hint)

    def _describe_fault(self, kind: str, message: str, name: str) -> tuple[str, str, str | None]:
        """Return a fault of pydantic's in words: the problem, what was expected, and what to do next."""
        message = _NOISE.sub("", message)
        value = f"the value of {name!r}" if name else "the value"
        if kind.endswith(_WRONG_TYPE):
            words = _WORDS.get(kind.partition("_")[0])
            mapping = kind.startswith(("dict", "model", "mapping", "typed_dict", "dataclass"))
            expected = self.mapping if mapping else words or message
            return f"{value} has the wrong type", expected, "write [a, b]" if words == "a list" else None
        return f"{value} is not allowed", message, None

    def raise_problems(self, document: str, where: str, error: type[NwbpipeError] = SpecError) -> None:
        """Raise one error that names every mistake, if there are any.

        Parameters
        ----------
        document : str
            The document in words: "the project file".
        where : str
            The file.
        error : type
            Which error.
        """
        if self.problems:
            count = len(self.problems)
            msg = f"{document} has {'one mistake' if count == 1 else f'{count} mistakes'}"
            raise error(msg, where=where, problems=self.problems)
