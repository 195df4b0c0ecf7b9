"""What `explorer cost --as` prints."""

import json

import pytest

import explorer
from explorer.cli.conventions import as_json, conventions_of, print_counts, print_training, training_as_json
from explorer.errors import UserError


def numbers(text):
    """The whole numbers of each printed line."""
    cells = [line.replace(",", "").replace("+", "").split() for line in text.splitlines()]
    return [[int(cell) for cell in line if cell.lstrip("-").isdigit()] for line in cells]


def test_names_are_parsed():
    assert [c.name for c in conventions_of("fvcore, thop_train,ms-sar")] == ["fvcore", "thop_train", "ms-sar"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fvcor", "--as: unknown convention 'fvcor'; did you mean 'fvcore'"),
        ("seqconv_train", "--as: unknown convention 'seqconv_train'"),
        ("", "--as: '' is not a list of conventions such as"),
        ("macs,,thop", "--as: 'macs,,thop' is not a list"),
        ("macs,thop,macs", "--as: 'macs' is named twice"),
    ],
)
def test_bad_names_are_named(text, message):
    with pytest.raises(UserError) as raised:
        conventions_of(text)
    assert str(raised.value).startswith(message)


def test_json_has_the_first_apart():
    cost = explorer.cost("resnet50", batch=2)
    found = json.loads(json.dumps(as_json(cost, conventions_of("fvcore,torch,thop"))))
    others = {"torch": 2 * 8_178_368_512, "thop": 2 * 4_133_742_592}
    assert found == {"convention": "fvcore", "unit": "MACs", "count": 2 * 4_111_512_576, "others": others}
    assert as_json(cost, conventions_of("macs"))["others"] == {}


def test_the_printed_difference_adds_up(capsys):
    print_counts([explorer.cost("resnet50")], conventions_of("fvcore,ptflops"))
    shown = capsys.readouterr().out
    assert "4,111,512,576 MACs" in shown and "4.132 GMACs" in shown
    rows = [line for line in numbers(shown.split("from fvcore")[1]) if line]
    *parts, total = [line[-1] for line in rows if len(line) in (1, 4)]
    assert total == 4_132_436_968 - 4_111_512_576 == sum(parts)
    for line in rows:
        if len(line) == 4:
            elements, first, second, contribution = line
            assert contribution == (second - first) * elements


def test_every_network_and_convention_has_a_row(capsys):
    print_counts([explorer.cost("resnet20"), explorer.cost("densenet100")], conventions_of("macs,torch,seqconv"))
    shown = capsys.readouterr().out
    assert shown.count(": from macs (") == 4 and "GiMACs" not in shown and "MiMACs" in shown
    assert "macs counts MACs, torch FLOPs: the numbers differ by this much" in shown
    assert "81,626,368 FLOPs" in shown  # resnet20


def test_equal_conventions_differ_by_nothing(capsys):
    print_counts([explorer.cost("resnet20")], conventions_of("macs,calflops_macs"))
    assert capsys.readouterr().out.rstrip().endswith("0")


def test_training_is_shown_beside_torch(capsys):
    costs = [explorer.cost(net) for net in ("resnet20", "resnext50-32x4d")]
    print_training(costs)
    plain = capsys.readouterr().out
    assert "torch" not in plain and "12.57 GMACs" in plain
    print_training(costs, verify=True)
    checked = capsys.readouterr().out
    assert "19.74 GMACs" in checked and "x1.570" in checked and " =\n" in checked


def test_training_as_json():
    cost = explorer.cost("cifar_resnet(n = 1)", batch=2)
    shown = training_as_json(cost)
    assert shown["forward"] == shown["weight_gradients"] == cost.macs and shown["torch_flops"] is None
    stem = 2 * 27 * 16 * 1024
    assert shown["input_gradients"] == cost.macs - stem and shown["total"] == 3 * cost.macs - stem
    assert training_as_json(cost, verify=True)["torch_flops"] == 2 * shown["total"]
