"""The table on the screen: values and intervals that can be read."""

import math

from mito_instance.evaluation.tables import format_table


def test_intervals_stand_behind_values_without_powers_of_ten():
    summary = {"ap": 0.5, "area_mae_px": 10845.25, "n_true": 7, "pq": math.nan}
    table = format_table(summary, {"ap": (0.4, 0.61236), "area_mae_px": (6142.4, 13790.6)})
    lines = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line[:2] == "  "}
    assert lines == {
        "ap": ["0.5000", "[0.4,", "0.6124]"],
        "area_mae_px": ["10845.2500", "[6142,", "13791]"],
        "n_true": ["7"],
        "pq": ["undefined"],
    }
