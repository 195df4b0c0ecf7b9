"""The `explorer` command."""

import gc
import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a check failed, 2 bad input."""
    gc.set_threshold(100_000, 50, 50)  # graphs are many small objects without cycles; collecting them halves the speed
    from explorer.errors import UserError

    try:
        from explorer.cli.app import run

        sys.exit(run(sys.argv[1:]))
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
