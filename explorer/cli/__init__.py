"""The `explorer` command."""

import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a check failed, 2 bad input."""
    from explorer.errors import UserError

    try:
        from explorer.cli.app import app

        app()
    except UserError as error:
        sys.exit(_say(str(error), 2))
    except RecursionError:
        sys.exit(_say("the input is nested too deeply", 2))
    except MemoryError:
        sys.exit(_say("not enough memory for this input", 2))
    except BrokenPipeError:  # the reader, as in `explorer list | head`, has seen enough
        sys.stderr.close()
        sys.exit(0)


def _say(message: str, code: int) -> int:
    print(f"explorer: {message}", file=sys.stderr)
    return code
