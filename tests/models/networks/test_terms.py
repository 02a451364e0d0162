"""The text of derived inputs: which terms it stands for, and what is refused."""

import pytest

from models.limits import MAX_INPUTS
from models.networks.terms import Term, count, parse
from models.specs import InvalidInput


def of(*coordinates: int) -> Term:
    return Term("product", coordinates)


def test_the_inputs_of_the_tutorials_plane_are_terms_of_x_and_y() -> None:
    terms = parse(("x", "y", "x^2", "y^2", "x*y", "sin x", "cos y"), 2)
    assert terms == (of(0), of(1), of(0, 0), of(1, 1), of(0, 1), Term("sin", (0,)), Term("cos", (1,)))


@pytest.mark.parametrize("text", ["x1*x2", "x2*x1", "y*x", " x * x2 ", "x1 *y"])
def test_a_product_may_be_written_in_any_order_and_with_blanks(text: str) -> None:
    assert parse((text,), 2) == (of(0, 1),)


@pytest.mark.parametrize("text", ["x3^2", "x3 ^ 2", "x3*x3"])
def test_a_square_may_be_written_as_a_product(text: str) -> None:
    assert parse((text,), 3) == (of(2, 2),)


@pytest.mark.parametrize("text", ["sin x2", "sin(x2)", "sin (x2)", "sin  x2"])
def test_an_argument_may_stand_in_parentheses(text: str) -> None:
    assert parse((text,), 3) == (Term("sin", (1,)),)


def test_kinds_stand_for_all_of_their_terms_in_order() -> None:
    assert parse(("coordinates", "squares"), 2) == (of(0), of(1), of(0, 0), of(1, 1))
    assert parse(("products",), 4) == (of(0, 1), of(0, 2), of(0, 3), of(1, 2), of(1, 3), of(2, 3))
    for inputs in (("coordinates", "squares", "products", "sin x1"), ("x2",)):
        assert count(inputs, 5) == len(parse(inputs, 5))
    assert count(None, 5) == 5


def test_features_may_be_called_by_their_names() -> None:
    names = ("petal length", "width*2")
    inputs = ("petal length", "width*2", "petal length^2", "petal length*width*2", "sin petal length", "cos(width*2)")
    expected = (of(0), of(1), of(0, 0), of(0, 1), Term("sin", (0,)), Term("cos", (1,)))
    assert parse(inputs, 2, names) == expected
    assert parse(("x1", "y"), 2, names) == (of(0), of(1))


@pytest.mark.parametrize("text", ["x", "x2", "x2^2", "sin x", "x*y", "x1*x2"])
def test_a_name_of_another_coordinate_is_ambiguous(text: str) -> None:
    names = ("x2", "x")
    with pytest.raises(InvalidInput, match="may mean different terms") as refused:
        parse((text,), 2, names)
    assert refused.value.field == "network.inputs.0"
    assert parse(("x1", "sin y"), 2, names) == (of(0), Term("sin", (1,)))


@pytest.mark.parametrize(("text", "names"), [("x^2", ("x", "x^2")), ("squares", ("squares", "b"))])
def test_a_name_like_a_term_is_ambiguous(text: str, names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="may mean different terms"):
        parse((text,), 2, names)


@pytest.mark.parametrize(
    "text", ["z", "x3", "x0", "X", "x^3", "x**2", "sinx", "tan x", "sin x^2", "x*y*x", "x+y", "2*x", " "]
)
def test_what_is_not_a_term_of_the_coordinates_is_refused_with_those_that_exist(text: str) -> None:
    with pytest.raises(InvalidInput, match="x1 to x2, also called x and y") as refused:
        parse(("x", text), 2)
    assert refused.value.field == "network.inputs.1"


def test_x_and_y_are_names_in_the_plane_only() -> None:
    assert parse(("x",), 1) == (of(0),)
    with pytest.raises(InvalidInput, match=r"x1 to x3$"):
        parse(("x",), 3)


@pytest.mark.parametrize("inputs", [("x", "x1"), ("x*y", "y*x"), ("squares", "x^2"), ("coordinates", "y")])
def test_a_repeated_term_is_refused(inputs: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"repeats a term of network\.inputs\.0") as refused:
        parse(inputs, 2)
    assert refused.value.field == "network.inputs.1"


def test_too_many_terms_are_refused_before_they_are_listed() -> None:
    assert len(parse(("products",), 45)) < MAX_INPUTS
    with pytest.raises(InvalidInput, match="at most 1,024 terms, not 499,500"):
        parse(("products",), 1_000)


def test_the_products_of_a_single_coordinate_are_not_an_input() -> None:
    with pytest.raises(InvalidInput, match="at least one term"):
        parse(("products",), 1)
