"""Options that several commands have in common, declared once, as those of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

Command = Callable[..., None]


def gathered(**groups: Callable[..., Any]) -> Callable[[Command], Command]:
    """Let a command have the options of other functions: each argument named here is what its function returns.

    The options stand where the argument does, which the command line does not know.
    """

    def decorate(work: Command) -> Command:
        options = {name: parameters(group) for name, group in groups.items()}

        def called(**given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{option.name: given.pop(option.name) for option in options[name]})
            work(**given)

        own = [option for one in parameters(work) for option in options.get(one.name, [one])]
        return with_options(called, work, own)

    return decorate


def parameters(work: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, as Typer reads them."""
    return list(inspect.signature(work, eval_str=True).parameters.values())


def with_options(called: Command, work: Command, options: Iterable[inspect.Parameter]) -> Command:
    """Return ``called`` as a command with the name and the help of ``work``, and with these options."""
    keyword = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
    called.__name__, called.__doc__ = work.__name__, work.__doc__
    called.__annotations__ = {option.name: option.annotation for option in keyword}
    called.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
    return called
