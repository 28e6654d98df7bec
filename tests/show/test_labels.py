"""What several pictures have in common: tiles, ticks, short names of layers."""

import xml.etree.ElementTree as ET

from ftkit.show import labels, svg


def test_layers_and_matrices_are_read_off_the_names():
    names = ["model.layers.0.self_attn.q_proj", "model.layers.10.mlp.up_proj", "lm_head"]
    places = labels.layers_and_matrices(names)
    assert places == dict(
        zip([(0, "q_proj"), (10, "up_proj"), (-1, "lm_head")], names, strict=True)
    )
    assert list(places.values()) == names


def test_matrices_of_one_last_name_are_told_apart():
    names = ["h.0.attn.c_proj", "h.0.mlp.c_proj"]
    assert labels.layers_and_matrices(names) == {
        (0, "attn.c_proj"): names[0],
        (0, "mlp.c_proj"): names[1],
    }


def test_decades_are_tens_or_finer():
    assert labels.decades(0.5, 200) == {1: "1", 10: "10", 100: "100"}
    assert list(labels.decades(0.5, 20).values()) == ["0.5", "1", "2", "5", "10", "20"]


def test_tiles_stand_in_a_column():
    column = labels.tile_column(10, 20, [("1", "one"), ("2", "two", svg.ACCENT)], step=40)
    root = ET.fromstring(f"<svg>{column}</svg>")
    assert [(t.text, float(t.get("y"))) for t in root] == [
        ("1", 20),
        ("one", 35),
        ("2", 60),
        ("two", 75),
    ]
    assert root[2].get("fill") == svg.ACCENT
