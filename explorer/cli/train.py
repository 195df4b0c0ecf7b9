"""explorer train: one network, one budget, one seed."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.line import Line
from explorer.cli.options import Net, Workspace
from explorer.cli.printing import DASH, print_table, short, sides
from explorer.errors import UserError

if TYPE_CHECKING:
    from explorer.sweep.run import TrainResult
    from explorer.train.execution import Execution
    from explorer.train.status import Status

Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="NAME|FOLDER",
        help="digits, context, context-absolute, cifar10, cifar100, or a folder of images (train/CLASS/*.jpg, ...).",
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir", metavar="FOLDER", help="Where CIFAR archives lie (or EXPLORER_DATA; ~/.cache/explorer)."
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data's archive unless it is there.")]
Budget = Annotated[str, typer.Option("--budget", help="5epochs, 60s, 2e15flops, or full: the paper's epochs.")]
Recipe = Annotated[str | None, typer.Option("--recipe", help="Training recipe in place of the paper's.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")]
Reference = Annotated[bool, typer.Option("--reference", help="Train the plain module, without faster layers.")]
Lean = Annotated[bool, typer.Option("--lean", help="Train with the layers that keep least in memory.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Numbers of convolutions and linear layers: fp32, bf16, fp16.")]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the network with torch.compile.")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Only algorithms that give the same bits each time.")
]
TimeLimit = Annotated[float | None, typer.Option("--time-limit", metavar="SECONDS", help="Stop a trial after this.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of weights and of the order of images.")]


def train(
    net: Net,
    data: Data = "digits",
    data_dir: DataDir = None,
    download: Download = False,
    budget: Budget = "20epochs",
    recipe: Recipe = None,
    seed: Seed = 0,
    reference: Reference = False,
    lean: Lean = False,
    dtype: Dtype = "fp32",
    compile: Compile = False,
    deterministic: Deterministic = False,
    time_limit: TimeLimit = None,
    device: Device = "cpu",
    workspace: Workspace = "explorer-work",
) -> None:
    """Train one network within a budget; history, errors and weights are kept. Interrupted, it goes on."""
    from explorer.nn.fast.allocator import keep_freed_memory
    from explorer.sweep.run import train_one
    from explorer.train.launcher import rank

    if download:
        fetch_archive(data, data_dir)
    if device == "cpu":
        keep_freed_memory()
    first = rank() == 0
    how = execution(reference, lean, dtype, compile, deterministic)
    if first:
        _tell_size(net, data)
        tell_left_out(data, data_dir)
    with Line(100, "{l_bar}{bar:12}| {elapsed}{postfix}", shown=first) as line:

        def progress(status: "Status") -> None:
            line.show(100 * status.fraction, live(status))

        try:
            result = train_one(
                net,
                budget=budget,
                seed=seed,
                data=data,
                data_dir=data_dir,
                recipe=recipe,
                execution=how,
                workspace=workspace,
                device=device,
                time_limit=check_time_limit(time_limit),
                progress=progress,
                tell=lambda text: typer.echo(text, err=True),
            )
        except KeyboardInterrupt as stopped:
            line.close()
            typer.echo(f"interrupted{f'; {stopped}' if str(stopped) else ''}; the same command again goes on", err=True)
            raise typer.Exit(130) from None
    if first:
        _print(result, data, how)
    if "failed" in (result.trial.status, result.again and result.again.status):
        raise typer.Exit(1)


def _tell_size(net: str, data: str) -> None:
    """Say which images and classes a network is built for, where these are not its own."""
    import explorer
    from explorer.train.data import source

    with suppress(UserError):  # what is wrong with the two is said later, in whole
        own, given = explorer.expand(net), source(data)
        shapes = (own.input, own.root.out[0]), (given.shape, given.classes)
        if shapes[0] != shapes[1]:
            built, usual = (f"{sides(shape)}, {classes:,} classes" for shape, classes in reversed(shapes))
            typer.echo(f"built for {data}: {built} (its own: {usual})", err=True)


def tell_left_out(data: str, data_dir: str | None) -> None:
    """Say which files of a folder are not read."""
    from explorer.train.data import load
    from explorer.train.data.sources import SOURCES

    with suppress(UserError):  # what is wrong with it is said later
        if data not in SOURCES and (notice := load(data, data_dir).notice):
            typer.echo(f"{data}: {notice}", err=True)


def _print(result: "TrainResult", data: str, execution: "Execution") -> None:
    """The epochs, and how it ended."""
    trial, network = result.trial, result.candidate.network
    rows = [
        [str(e.epoch), f"{e.lr:.4f}", decimal(e.train_loss), rate(e.train_error), rate(e.validation_error)]
        for e in result.history
    ]
    print_table(
        ["epoch", "lr", "loss while\ntraining", "error while\ntraining", "validation\nerror"],
        rows,
        (),
        network.canonical,
    )
    if result.found:
        typer.echo(f"this trial was in the store already; {_done_again(result)}")
    if trial.message:
        typer.echo(f"{trial.status}: {trial.message}")
    errors = f"test error {rate(trial.test_error)}   validation {rate(trial.validation_error)}"
    weights = {"final": "final weights", "best": "best epoch's weights", "snapshots": "vote of all cycles' weights"}
    reported = weights[trial.recipe.get("reports", "final")]
    how = ", ".join(filter(None, [trial.budget, trial.recipe["name"], f"seed {trial.seed}", data, execution.unusual]))
    read = "twice" if result.again else "once"
    how += f"; {reported}, test read {read}" if trial.test_error is not None else ""
    typer.echo(f"{short(network.macs, 'MACs')}   {errors}   train, at the end {rate(trial.train_error)}   ({how})")
    if result.weights:
        typer.echo(f"weights: {result.weights}")


def _done_again(result: "TrainResult") -> str:
    """What was done about a trial that was in the store."""
    again = result.again
    if again is None:
        return "nothing was trained"
    if again.status != "done":
        return f"trained again for its weights, which {again.status}: {again.message}"
    if again.test_error == result.trial.test_error:
        return "trained again for its weights, with the same errors"
    return f"the weights are of another training of it, with test error {rate(again.test_error)}"


def execution(reference: bool, lean: bool, dtype: str, compile: bool, deterministic: bool) -> "Execution":
    """How to compute, as the options say it. UserError where they contradict each other."""
    from explorer.train.execution import Execution
    from explorer.train.launcher import size

    if reference and lean:
        raise UserError("--reference and --lean name two kinds of layers; give one of them")
    layers = "reference" if reference else "lean" if lean else "balanced"
    return Execution(layers, dtype, compile, deterministic, size()).check()


def check_time_limit(seconds: float | None) -> float | None:
    """A sensible number of seconds, or none. UserError naming --time-limit."""
    from explorer.sweep.placing import Placement

    Placement("local", "cpu", None, 1, seconds, None).check()
    return seconds


def live(status: "Status") -> str:
    """Loss, error, speed and time left, for the line on the terminal; what is not known is left out."""
    parts = [f"epoch {status.epoch}"]
    if status.loss is not None and status.error is not None:
        parts.append(f"loss {status.loss:.3f}, error {rate(status.error)}")
    elif status.latest is not None:
        parts.append(f"loss {decimal(status.latest.train_loss)}, error {rate(status.latest.train_error)}")
    if status.images_per_second is not None and status.flops_per_second is not None:
        share = "" if status.peak_share is None else f" ({100 * status.peak_share:.0f}% of peak)"
        parts.append(f"{status.images_per_second:,.0f} images/s")
        parts.append(f"{short(status.flops_per_second, 'FLOP/s')}{share}")
    if status.seconds_left is not None:
        parts.append(f"{clock(status.seconds_left)} left")
    if status.notice:
        parts.append(status.notice)
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """75 s as 1:15, an hour and more as 1:01:15."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def fetch_archive(data: str, data_dir: str | None) -> None:
    """Bring the archive of a data set, if it has one, into the folder of archives."""
    from explorer.train.data import source
    from explorer.train.data.download import fetch
    from explorer.train.data.sources import archive_folder

    archive = source(data).archive
    if archive is None:
        typer.echo(f"{data} needs no download", err=True)
        return
    with Line(archive.size, "{percentage:3.0f}%|{bar:12}| {elapsed}{postfix}") as line:

        def progress(here: int, whole: int) -> None:
            line.show(here, f"{archive.file}, {here / 1e6:,.0f} of {whole / 1e6:,.0f} MB")

        fetch(archive, archive_folder(data_dir), progress)


def rate(fraction: float | None) -> str:
    """An error rate as printed: 12.3%, or a dash."""
    return DASH if fraction is None else f"{100 * fraction:.1f}%"


def decimal(value: float | None) -> str:
    """A loss as printed, or a dash."""
    return DASH if value is None else f"{value:.3f}"
