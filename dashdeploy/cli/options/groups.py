"""Options that several commands share, or that belong together, as one parameter of a command.

typer takes a command's options from the parameters of its function, one by one. The annotated attributes of an
`OptionGroup` are such options; a function that `with_option_groups` decorates has a parameter for the whole group::

    class Addresses(OptionGroup, panel="Addresses"):
        host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1"

    @with_option_groups
    def serve(addresses: Addresses) -> None:
        print(addresses.host)

No dataclasses: twenty of them would make ``dashdeploy --help`` slower by a tenth.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from copy import copy
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from typer.models import OptionInfo


class OptionGroup:
    """Base of the groups. A group must not have an option of the name of another parameter of its command.

    Args:
        chosen: the value of every option, by name.

    Attributes:
        panel: the heading of these options in ``--help``; None puts them under ``Options``.
    """

    panel: ClassVar[str | None] = None

    def __init_subclass__(cls, *, panel: str | None = None) -> None:
        cls.panel = panel

    def __init__(self, **chosen: Any) -> None:  # noqa: ANN401 - each attribute has its own type
        self._chosen = chosen
        vars(self).update(chosen)

    def values(self) -> dict[str, Any]:
        """What was chosen, by the attributes' names; for settings whose fields have the same names."""
        return dict(self._chosen)

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """The options as parameters of a function, keyword-only, under the group's heading."""
        hints = get_type_hints(cls, include_extras=True)
        return [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(cls, name, inspect.Parameter.empty),
                annotation=_under(cls.panel, hints[name]),
            )
            for name in inspect.get_annotations(cls)
        ]


def _under(panel: str | None, annotation: Any) -> Any:  # noqa: ANN401 - annotations have no common type
    """The annotation of an option with the heading that it stands under."""
    kind, option = get_args(annotation)
    assert isinstance(option, OptionInfo)
    moved = copy(option)  # aliases such as ``--quiet``'s stand in several groups
    moved.rich_help_panel = panel
    return Annotated[kind, moved]


def with_option_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Give `function` a signature in which every group is replaced by its options.

    The function that comes back takes these options as keywords, and calls `function` with the groups.
    """
    groups: dict[str, tuple[type[OptionGroup], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        annotation = parameter.annotation
        if isinstance(annotation, type) and issubclass(annotation, OptionGroup):
            options = annotation.parameters()
            groups[parameter.name] = annotation, [option.name for option in options]
            parameters += options
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def command(**values: object) -> None:
        for name, (group, options) in groups.items():
            values[name] = group(**{option: values.pop(option) for option in options})
        function(**values)

    # typer reads both; `Signature` refuses two parameters of one name.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
