"""Options of commands, generated from the pydantic models that already describe the same fields."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr


@dataclass(frozen=True)
class Options:
    """One option for each field of a model. Defaults and bounds stay with the model.

    Attributes:
        model: the model whose fields give the names, the types and the help texts.
        names: the fields that become options; all of them if empty.
        renamed: the option's name for each field that cannot use its own, such as {"seed": "data_seed"}.
        helps: the help of options that take another form than their field.
        panel: the heading above these options in the help.
    """

    model: type[BaseModel]
    names: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    panel: str | None = None

    def parameters(self) -> list[inspect.Parameter]:
        """The options as parameters of a function, which is how Typer takes them. Not given means None."""
        return [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=self._annotation(name))
            for name, option in self._options.items()
        ]

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields whose options the user gave, with their values."""
        return {name: values[option] for name, option in self._options.items() if values[option] is not None}

    @property
    def _options(self) -> dict[str, str]:
        """The name of each option, by field."""
        return {name: self.renamed.get(name, name) for name in self.names or self.model.model_fields}

    def _annotation(self, name: str) -> Any:
        kind, metavar = _kind(self.model.model_fields[name].annotation)
        option = typer.Option(help=self._help(name), metavar=metavar, show_default=False, rich_help_panel=self.panel)
        return Annotated[kind | None, option]

    def _help(self, name: str) -> str:
        field = self.model.model_fields[name]
        notes = []
        if not field.is_required() and field.default is not None:
            notes.append(f"default {field.default}")
        if prefix := self.model.model_config.get("env_prefix"):
            notes.append(f"{prefix}{name.upper()}")
        text = self.helps.get(name, field.description or "").replace("`", "")
        return f"{text} ({'; '.join(notes)})" if notes else text


def _kind(annotation: Any) -> tuple[Any, str | None]:
    """What the option takes for a field of this type, and how the help shows it if not by that type's name."""
    arguments = [one for one in get_args(annotation) if one is not type(None)]
    if type(None) in get_args(annotation) or get_origin(annotation) is Annotated:
        return _kind(arguments[0])
    if get_origin(annotation) is list:
        kinds = {int: "int", float: "float"}
        return str, f"<{next((kinds[one] for one in get_args(arguments[0]) if one in kinds), 'text')},...>"
    if get_origin(annotation) in (Union, UnionType):  # of a word and an object: the option is repeated
        return list[str], "<word|label=number>"
    if annotation is Path:
        return str, "<path>"  # the model makes a path of it, and sees if it is empty
    return (str, None) if annotation is SecretStr else (annotation, None)
