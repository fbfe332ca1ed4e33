"""Groups of commands that typer doesn't have itself."""

from typing import Any

from typer.core import TyperGroup

SHOW = "show"


class ShowsByDefault(TyperGroup):
    """A group of commands in which `rules 3 …` means `rules show 3 …`."""

    # Which class the context is of, click's or typer's own copy of it, differs between versions of typer.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name before arguments that begin with no command."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [SHOW, *args]
        return super().parse_args(ctx, args)
