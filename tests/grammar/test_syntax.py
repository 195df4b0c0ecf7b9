"""Parsing and canonical printing: text and tree say the same."""

import pytest
from hypothesis import given, settings
from strategies import definitions, expressions, network_expressions

from explorer.errors import ArchError
from explorer.grammar import tables
from explorer.grammar.parser import parse_expression, parse_file
from explorer.grammar.printer import print_definition, print_expression, print_file
from explorer.grammar.syntax import Binary, Name, Network, Number, Section


@settings(max_examples=300, deadline=None)
@given(definitions)
def test_a_printed_definition_parses_back(definition):
    text = print_definition(definition)
    assert parse_file(text).definitions == (definition,), text


@settings(max_examples=200, deadline=None)
@given(network_expressions)
def test_a_printed_expression_parses_back(expression):
    text = print_expression(expression)
    assert parse_expression(text) == expression, text


@settings(max_examples=100, deadline=None)
@given(expressions)
def test_printing_is_canonical(expression):
    text = print_definition(Network("n", (), (), None)) + "\n"
    assert print_file(parse_file(text)) == text


def test_the_shipped_tables_are_those_of_the_grammar():
    assert tables.load() == tables.generate(), "run: python -m explorer.grammar.tables"


def test_shipped_files_parse_and_print_stably():
    for folder in tables.HERE.parent.rglob("*.arch"):
        file = parse_file(folder.read_text(), folder.name)
        assert parse_file(print_file(file)) == file


def test_commas_and_newlines_are_one_separator():
    one = parse_file("network n { input 3x8x8, a: conv(3x3, 4), bn, b: relu }")
    many = parse_file("network n {\n  input 3 x 8 x 8\n\n  a: conv(3x3, 4)\n  bn,\n  b: relu\n}\n")
    assert one == many


def test_a_label_reaches_to_the_next():
    body = parse_file("network n { a: x, y, b: z, for i in [1] { w }, v }").definitions[0].body
    assert [type(item).__name__ for item in body] == ["Section", "Section", "For", "Step"]
    assert isinstance(body[0], Section) and [step.name for step in body[0].steps] == ["x", "y"]


def test_precedence():
    fact = parse_file("network n { expect a + 2 * b == 3 or c }").definitions[0].body[0].fact
    assert isinstance(fact, Binary) and fact.op == "or"
    assert fact.left == Binary("==", Binary("+", Name("a"), Binary("*", Number(2), Name("b"))), Number(3))


def test_hyphens_belong_to_network_names_only():
    assert parse_expression("resnext50-32x4d + se").call.name == "resnext50-32x4d"
    value = parse_expression("net(n = a-1)").call.args[0].value
    assert value == Binary("-", Name("a"), Number(1))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("network a { conv(3x3, }", "1:23", "'}' closes no '('"),
        ("network a { relu } }", "1:20", "'}' closes nothing"),
        ("network a {\n  conv(3x3, 4)\n", "1:11", "'{' is never closed"),
        ("network a { 3x }", "1:13", "neither a number, a size"),
        ("network a { relu & bn }", "1:18", "unexpected character '&'"),
        ("block a(x, x) { it }", "1:12", "declared twice"),
        ("network a { conv(k = 1, k = 2) }", "1:25", "given twice"),
        ("network { it }", "1:9", "expected a name or a network"),
        ("network a { relu bn }", "1:21", "a comma or a new line is missing"),
        ("network a { relu 3 }", "1:18", "'3' is unexpected here"),
        ("network a { add { it | } }", "1:24", "'}' is unexpected"),
        ("network a { x: y: z }", "1:17", "':' is unexpected"),
        ("network a { conv(1" + "0" * 30 + ") }", "1:18", "more than 18 digits"),
    ],
)
def test_errors_point_at_the_place(text, place, words):
    with pytest.raises(ArchError) as caught:
        parse_file(text, "file.arch")
    message = str(caught.value)
    assert message.startswith(f"file.arch:{place}: "), message
    assert words in message and message.splitlines()[-1].strip() == "^"


@pytest.mark.parametrize(
    "text",
    [
        "network a { " + "{ " * 100_000,
        "(" * 500_000,
        "network a = b(" + "-" * 100_000 + "1)",
        "network a = b(x = " + " + ".join(["1"] * 50_000) + ")",
        "a" * 900_000 + "(",
        "x" * 2_000_000,
        "network a { " + "not " * 50_000 + "}",
    ],
)
def test_hostile_text_gets_one_short_message(text):
    with pytest.raises(ArchError) as caught:
        parse_file(text)
    assert len(str(caught.value)) < 2000
