"""What a study is evidence of, and what not; and what it was made with."""

from explorer.reports.claims import Claims
from explorer.reports.numbers import DASH, budget, duration, listed, moment, plural
from explorer.reports.study import Study

VERSIONS = ("explorer", "revision", "python", "torch", "numpy")
MACHINE = ("device", "device_name", "threads", "machine")


def evidence(study: Study, claims: Claims) -> list[tuple[str, str]]:
    """Paragraphs, each with a word in front."""
    found = [("Data", _sentence(study.data.description)), ("Evidence", _sentence(study.data.evidence))]
    found.append(("Budget", _about_budget(study)))
    found.append(("Seeds", _about_seeds(study)))
    found.append(
        (
            "Choosing",
            "The test images were read once for each finished trial, with the weights that its recipe reports. Where "
            "networks are chosen (a front, the curves that are drawn), the validation images did it, and the lowest "
            "error of several is not shown to be the best. The spread is over seeds only: all trials see the same "
            "images, so it does not cover another draw of the data.",
        )
    )
    found.append(
        (
            "What is printed",
            "What is marked as printed comes from the papers: their data, their sizes and full training. It stands "
            "beside our points for the shape of curves and the order of networks; in height it can be compared with "
            "them only where data, network and budget are the same.",
        )
    )
    return found


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _about_budget(study: Study) -> str:
    steps = {trial.steps for trial in study.trials if trial.steps is not None}
    number = f"{min(steps):,}" if len(steps) == 1 else f"{min(steps):,} to {max(steps):,}" if steps else ""
    after = f" ({number} {'step' if steps == {1} else 'steps'})" if number else ""
    if study.budget == "full":
        return f"Each trial had the paper\N{RIGHT SINGLE QUOTATION MARK}s own epochs{after}."
    text = (
        f"Each trial had {budget(study.budget)}{after}. An error after so short a training shows how fast a network "
        "learns more than what it could reach; a network that starts slowly is judged too hard."
    )
    if study.budget.endswith("s") and not study.budget.endswith(("epochs", "flops")):
        text += " A budget in seconds favours what is fast on this machine, and gives other numbers on another."
    return text


def _about_seeds(study: Study) -> str:
    seeds = study.seeds
    named = listed([str(seed) for seed in seeds]) if len(seeds) <= 12 else f"{seeds[0]} to {seeds[-1]}"
    text = f"{plural(len(seeds), 'seed')} ({named}). A seed sets the first weights and the order of the images."
    if len(seeds) < 2:
        return f"{text} One seed shows no spread: nothing here can be told from chance."
    return text


def environment(study: Study) -> list[tuple[str, str]]:
    """Names and values; several values where trials differ."""
    rows = [(name.replace("_", " "), _values(study, name)) for name in (*VERSIONS, *MACHINE)]
    trials = study.trials
    spent = [trial.seconds for trial in trials if trial.seconds is not None]
    return [
        *rows,
        ("recipes", ", ".join(sorted({row.recipe for row in study.rows if row.recipe})) or DASH),
        ("seeds", ", ".join(map(str, study.seeds)) or DASH),
        ("first trial began", moment(min((trial.started for trial in trials), default=None))),
        ("last trial ended", moment(max((trial.finished for trial in trials), default=None))),
        ("time in training", f"{duration(sum(spent))} in {plural(len(spent), 'trial')}" if spent else DASH),
        ("runs", ", ".join(f"{run.id} ({run.command})" for run in study.runs)),
    ]


def _values(study: Study, name: str) -> str:
    found = {str(t.environment[name]) for t in study.trials if t.environment.get(name) is not None}
    return ", ".join(sorted(found)) or DASH
