"""`vp index ...`: the code index for those who work in projects; the same commands as `direng index`."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from cli import render
from cli.index import UsageError, do_build, do_cypher, do_query, do_status

Show = Callable[[object, str, str | None], None]
Repo = Annotated[str, typer.Option("--repo", help="a folder in the repository")]
Output = Annotated[str, typer.Option("-o", "--output", metavar="table|json|yaml", help="how to print")]
Fields = Annotated[
    str | None, typer.Option("--json", metavar="FIELDS", help="print these fields (comma-separated, or `all`) as JSON")
]
OUTPUTS = ("table", "json", "yaml")


def make_group(show: Show) -> typer.Typer:
    """Return the commands; `show(value, output, fields)` prints a whole answer that is not wanted as a table."""
    group = typer.Typer(help="Ask the code index of a repository.", no_args_is_help=True)
    run = partial(_run, show)
    _add_upkeep(group, run)
    _add_questions(group, run)
    return group


def _add_upkeep(group: typer.Typer, run: Callable[..., None]) -> None:
    @group.command()
    def build(repo: Repo = ".", output: Output = "table", fields: Fields = None) -> None:
        """Bring the index level with the last commit."""
        run(do_build, output, fields, repo=repo)

    @group.command()
    def status(repo: Repo = ".", output: Output = "table", fields: Fields = None) -> None:
        """Show what the index holds and how fresh it is; exit code 1 when it is behind."""
        run(do_status, output, fields, repo=repo)


def _add_questions(group: typer.Typer, run: Callable[..., None]) -> None:
    @group.command()
    def query(
        verb: Annotated[str, typer.Argument(help="where_defined, who_calls, impact_set, search, nn_snippet, ...")],
        text: Annotated[str, typer.Argument(help="a symbol or words; `-` reads stdin")] = "",
        limit: Annotated[int, typer.Option(help="at most so many hits")] = 20,
        budget: Annotated[int | None, typer.Option(help="tokens of repo_map, context_pack")] = None,
        explain: Annotated[bool, typer.Option("--explain", help="show the parts of each score")] = False,
        repo: Repo = ".",
        output: Output = "table",
        fields: Fields = None,
    ) -> None:
        """Ask the index."""
        asked = {"verb": verb, "text": text, "limit": limit, "budget": budget, "explain": explain}
        run(do_query, output, fields, repo=repo, **asked)

    @group.command()
    def cypher(
        query: Annotated[str, typer.Argument(help="Cypher; $repo is given to it")],
        limit: Annotated[int, typer.Option(help="at most so many rows")] = 100,
        repo: Repo = ".",
        output: Output = "table",
        fields: Fields = None,
    ) -> None:
        """Ask the graph store (Neo4j) with a query that only reads."""
        run(do_cypher, output, fields, repo=repo, query=query, limit=limit)


def _run(
    show: Show,
    command: Callable[[argparse.Namespace], int],
    output: str,
    fields: str | None,
    **words: object,
) -> None:
    if output not in OUTPUTS:
        raise typer.BadParameter(f"choose {', '.join(OUTPUTS)}", param_hint="-o")
    is_whole = fields is not None or output != "table"
    given = argparse.Namespace(json=is_whole, show=lambda value: show(value, output, fields), **words)
    try:
        code = command(given)
    except UsageError as error:
        render.fail(error)
        raise typer.Exit(2) from None
    if code:
        raise typer.Exit(code)
