"""Accuracy, log loss and time on real data with nothing set, beside scikit-learn's classifiers at their defaults.

`python -m benchmarks.accuracy` prints the tables; with `--picture FILE` it also draws them.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np
from rich.progress import track
from rich.table import Table

from benchmarks.real_data_sets import Labelled, real_data_sets
from benchmarks.servers import running, separatrix
from benchmarks.tables import console
from models.datasets import DoubleArray

PORT = 8769
SPLITS = 5
TESTED = 0.3
"""Share of each dataset that the classifiers do not see."""

OURS = "Separatrix"
MIN_PROBABILITY = 1e-15
"""A probability of 0 counts as this much, as in scikit-learn."""


class Classifier(Protocol):
    """What is measured: scikit-learn's interface."""

    classes_: Any

    def fit(self, x_ND: DoubleArray, y_N: Any) -> object: ...

    def predict_proba(self, x_ND: DoubleArray) -> Any: ...


class Service:
    """A running service, as a classifier with nothing set."""

    def __init__(self, address: str) -> None:
        """`address` is that of the service."""
        self._client = httpx.Client(base_url=address, timeout=600)

    def fit(self, x_ND: DoubleArray, y_N: Any) -> object:
        body = {"model": "benchmark", "data": {"points": x_ND.tolist(), "labels": y_N.tolist()}}
        job = self._client.post("/train", json=body, headers={"Prefer": "wait=60"}).json()
        while job["status"] not in ("succeeded", "failed"):
            job = self._client.get(job["links"]["self"], headers={"Prefer": "wait=60"}).json()
        assert job["status"] == "succeeded", job["problem"]
        self.job = job
        return self

    def predict_proba(self, x_ND: DoubleArray) -> Any:
        body = {"model": "benchmark", "version": self.job["version"], "points": x_ND.tolist()}
        answer = self._client.post("/predict", json=body).json()
        self.classes_ = np.array(answer["classes"])
        return np.array(answer["probabilities"])


def peers() -> dict[str, Callable[[], Classifier]]:
    """scikit-learn's classifiers at their defaults; those that need scaled features get them."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return {
        "MLPClassifier": lambda: make_pipeline(StandardScaler(), MLPClassifier(random_state=0)),
        "LogisticRegression": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        "RBF SVC": lambda: make_pipeline(StandardScaler(), SVC(probability=True, random_state=0)),
        "random forest": lambda: RandomForestClassifier(random_state=0),
        "gradient boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    }


@dataclass(frozen=True)
class Figures:
    """Means over the splits of a dataset: accuracy, log loss in nats, and seconds to fit."""

    accuracy: float
    log_loss: float
    fit_s: float


def measure(make: Callable[[], Classifier], data: Labelled, splits: int) -> Figures:
    """Fits and tests a classifier on random splits that keep the share of each class."""
    from sklearn.model_selection import StratifiedShuffleSplit

    x_ND, y_N = data
    found = []
    for train_N, test_N in StratifiedShuffleSplit(splits, test_size=TESTED, random_state=0).split(x_ND, y_N):
        classifier = make()
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged, or that a default will change
            classifier.fit(x_ND[train_N], y_N[train_N])
        fit_s = time.perf_counter() - began
        prob_NK = classifier.predict_proba(x_ND[test_N])
        column_N = np.searchsorted(classifier.classes_, y_N[test_N])
        prob_N = np.clip(prob_NK[np.arange(len(column_N)), column_N], MIN_PROBABILITY, 1)
        found.append(((prob_NK.argmax(axis=1) == column_N).mean(), -np.log(prob_N).mean(), fit_s))
    return Figures(*(float(mean) for mean in np.mean(found, axis=0)))


def main(picture: Path | None = None, splits: int = SPLITS) -> dict[str, dict[str, Figures]]:
    """Measures everything, prints the tables, and draws the picture if a path is given."""
    found: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as folder, running(separatrix(Path(folder)), PORT) as service:
        classifiers: dict[str, Callable[[], Classifier]] = {OURS: lambda: Service(service.address), **peers()}
        for name, data in track(real_data_sets().items(), "real data", console=console, transient=True):
            found[name] = {one: measure(make, data, splits) for one, make in classifiers.items()}
    _print("accuracy", found, lambda one: one.accuracy, best=max)
    _print("log loss", found, lambda one: one.log_loss, best=min)
    _print("seconds to fit", found, lambda one: one.fit_s, best=min)
    if picture is not None:
        _draw(picture, found)
    return found


def _print(
    title: str, found: dict[str, dict[str, Figures]], value: Callable[[Figures], float], best: Callable[..., float]
) -> None:
    classifiers = list(next(iter(found.values())))
    shown = Table(title=title, title_justify="left")
    for heading in ("", *classifiers):
        shown.add_column(heading, justify="right" if heading else "left")
    for name, figures in found.items():
        values = [value(figures[one]) for one in classifiers]
        shown.add_row(name, *(f"[bold]{each:.3f}[/]" if each == best(values) else f"{each:.3f}" for each in values))
    shown.add_section()
    shown.add_row("mean", *(f"{np.mean([value(each[one]) for each in found.values()]):.3f}" for one in classifiers))
    console.print(shown)


def _draw(path: Path, found: dict[str, dict[str, Figures]]) -> None:
    """Accuracy and log loss of each classifier, a row for each dataset."""
    import matplotlib.pyplot as plt

    names, classifiers = list(found), list(next(iter(found.values())))
    figure, panels = plt.subplots(1, 2, figsize=(11, 0.36 * len(names) + 1.4), sharey=True, layout="constrained")
    for axes, (title, attribute) in zip(panels, (("accuracy", "accuracy"), ("log loss", "log_loss")), strict=True):
        for one, marker in zip(classifiers, "osDv^<", strict=True):
            values = [getattr(found[name][one], attribute) for name in names]
            is_ours = one == OURS
            axes.plot(
                values, range(len(names)), marker, label=one, zorder=3 if is_ours else 2,
                markersize=9 if is_ours else 6, color="black" if is_ours else None, alpha=1 if is_ours else 0.75,
            )  # fmt: skip
        axes.set_title(f"{title} on points that were not trained on, {SPLITS} splits", fontsize=10)
        axes.grid(alpha=0.4)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    panels[1].legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(Path(arguments[1]) if arguments[:1] == ["--picture"] else None)
