"""The modules of the page: their types, their pure parts, and what they share with the service."""

import re
from pathlib import Path

import numpy as np
import pytest

from models.training.evaluation import Evaluation
from service.render import palette
from tests.clients.tools import run, tool
from tests.service.render.test_palette import DEFICIENCIES, as_seen, distance

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_types_of_the_page_are_right() -> None:
    run(tool("node_modules", ".bin", "tsc"), "-p", "service/web/jsconfig.json", cwd=ROOT)


@pytest.mark.slow
def test_the_pure_parts_of_the_page_pass_their_tests() -> None:
    tool("node_modules")
    run("node", "--test", "tests/web", cwd=ROOT)


def test_the_page_draws_classes_in_the_colors_of_the_service() -> None:
    listed = re.search(r"CLASS_COLORS = \[(.*?)\]", (ROOT / "service/web/js/logic/colors.js").read_text(), re.DOTALL)
    assert listed is not None
    assert re.findall(r"#[0-9a-f]{6}", listed[1]) == palette.class_codes(8)


def test_positive_and_negative_weights_differ_in_color_from_each_other_and_from_classes() -> None:
    style = (ROOT / "service/web/style.css").read_text()
    positives, negatives = (re.findall(rf"--{sign}: #([0-9a-f]{{6}})", style) for sign in ("positive", "negative"))
    # The light theme, the dark theme of the system, and the dark theme chosen on the page.
    assert len(positives) == len(negatives) == 3
    for pair in zip(positives, negatives, strict=True):
        colors = np.array([[*bytes.fromhex(code)] for code in pair])
        every = np.concatenate([colors, palette.class_palette(5)])
        seen = [every, *(as_seen(every, deficiency) for deficiency in DEFICIENCIES)]
        assert min(distance(one[0], one[1]) for one in seen) > 0.12, "the colors of the signs are similar"
        assert min(distance(sign, other) for one in seen for sign in one[:2] for other in one[2:]) > 0.09, "and classes"


def test_the_page_has_a_text_for_each_warning_about_classes_and_no_other_texts() -> None:
    texts = re.findall(r'"said\.\w+": "(.*)",', (ROOT / "service/web/js/i18n/en.js").read_text())
    known = [re.compile(re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(text))) for text in texts]
    confusions = [[[right, 9, 0], [0, 30, 0], [0, 5, others]] for right, others in ((0, 0), (0, 20), (1, 20), (4, 20))]
    given = [
        warning
        for confusion in confusions
        for kind in ("training", "validation")
        for warning in Evaluation(np.array(confusion), 0.5).warnings(("red", "blue", "green"), kind)
    ]
    matched = {pattern.pattern for pattern in known for warning in given if pattern.fullmatch(warning)}
    assert all(any(pattern.fullmatch(warning) for pattern in known) for warning in given), given
    assert len(matched) == len(known), "and no others"


def test_the_page_loads_at_once_all_modules_that_a_first_visit_needs() -> None:
    preloaded = re.findall(r'rel="modulepreload" href="(.*?)"', (ROOT / "service/web/index.html").read_text())
    modules = {str(file.relative_to(ROOT / "service/web")) for file in (ROOT / "service/web").rglob("*.js")}
    # The tab of models, the lessons, the comparison and the programs are fetched when a person opens them.
    tabs = ("js/comparison.js", "js/view/compare_tab.js", "js/logic/code.js", "js/view/code_tab.js")
    parts = ("js/lessons/", "js/models/", *tabs)
    on_demand = {module for module in modules if module.startswith(parts)}
    assert set(preloaded) == modules - {"js/main.js"} - on_demand, "otherwise each level of imports costs a round trip"
