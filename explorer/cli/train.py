"""explorer train: one network, one budget, one seed."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import Net, Workspace
from explorer.cli.printing import DASH, print_table, short

if TYPE_CHECKING:
    from explorer.sweep.records import EpochRecord

Data = Annotated[str, typer.Option("--data", help="Data set.")]
Budget = Annotated[str, typer.Option("--budget", help="Per trial: 5epochs or 60s.")]
Recipe = Annotated[str | None, typer.Option("--recipe", help="Training recipe in place of the paper's.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of weights and of the order of images.")]


def train(
    net: Net,
    data: Data = "digits",
    budget: Budget = "20epochs",
    recipe: Recipe = None,
    seed: Seed = 0,
    device: Device = "cpu",
    workspace: Workspace = "explorer-work",
) -> None:
    """Train one network within a budget; history and errors are stored."""
    from tqdm import tqdm

    from explorer.sweep.run import train_one

    with tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}", leave=False) as bar:

        def progress(fraction: float, epoch: "EpochRecord | None") -> None:
            bar.update(100 * fraction - bar.n)
            if epoch is not None:
                bar.set_postfix_str(f", train loss {decimal(epoch.train_loss)}")

        result = train_one(
            net,
            budget=budget,
            seed=seed,
            data=data,
            recipe=recipe,
            workspace=workspace,
            device=device,
            progress=progress,
        )
    trial, network = result.trial, result.candidate.network
    rows = [
        [str(e.epoch), f"{e.lr:.4f}", decimal(e.train_loss), rate(e.train_error), rate(e.validation_error)]
        for e in result.history
    ]
    print_table(["epoch", "lr", "train loss", "train error", "validation error"], rows, (), network.canonical)
    if result.found:
        typer.echo("this trial was in the store already; nothing was trained")
    if trial.message:
        typer.echo(f"{trial.status}: {trial.message}")
    errors = f"test error {rate(trial.test_error)}   validation {rate(trial.validation_error)}"
    how = f"{trial.budget}, seed {trial.seed}, {data}; final weights, test read once"
    typer.echo(f"{short(network.macs, 'MACs')}   {errors}   train {rate(trial.train_error)}   ({how})")
    if trial.status == "failed":
        raise typer.Exit(1)


def rate(fraction: float | None) -> str:
    """An error rate as printed: 12.3%, or a dash."""
    return DASH if fraction is None else f"{100 * fraction:.1f}%"


def decimal(value: float | None) -> str:
    """A loss as printed, or a dash."""
    return DASH if value is None else f"{value:.3f}"
