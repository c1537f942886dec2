from itertools import chain, pairwise

import pytest

from dashboard.export.latex.layout import COLUMN, PAGE, SIZES, Measured, laid_out
from dashboard.export.latex.paper import PaperTable


def made(rows: int, columns: int, *, cell: str = "12.3", name: str = "clip", sections: tuple[str, ...] = ()):
    """A table of ``columns`` numbers behind a name."""
    return PaperTable(
        caption="A table.",
        headings=["Name", *(f"error {at} (mm)" for at in range(columns))],
        cells=[[name, *[cell] * columns] for _ in range(rows)],
        best=[[False] * (columns + 1) for _ in range(rows)],
        left=[True, *[False] * columns],
        keys=1,
        sections=[sections[row * len(sections) // rows] if sections else "" for row in range(rows)],
        references=0,
    )


def test_a_small_table_fits_one_column_in_the_larger_size():
    layout = laid_out(made(5, 3))
    assert (layout.measured.size, layout.wide) == (SIZES[0], False)
    assert [(part.panels, part.rows) for part in layout.parts] == [([[0, 1, 2, 3]], range(5))]


def test_a_wider_one_takes_the_page_before_it_is_cut():
    layout = laid_out(made(5, 9))
    assert layout.wide and len(layout.parts) == 1 and len(layout.parts[0].panels) == 1
    assert COLUMN < layout.measured.width(range(10)) <= PAGE


@pytest.mark.parametrize("columns", [12, 20, 50])
def test_panels_hold_each_column_once_behind_the_name_and_are_alike(columns):
    layout = laid_out(made(3, columns, cell="0.123 [0.120, 0.127]"))
    panels = [panel for part in layout.parts for panel in part.panels]
    assert all(panel[0] == 0 and layout.measured.width(panel) <= PAGE for panel in panels)
    assert list(chain.from_iterable(panel[1:] for panel in panels)) == list(range(1, columns + 1))
    lengths = {len(panel) for panel in panels[:-1]}
    assert len(lengths) == 1  # all columns are as wide
    one_less = columns / (len(panels) - 1) if len(panels) > 1 else columns + 1
    assert layout.measured.width(list(range(int(one_less) + 2))) > PAGE or len(panels) == 1


@pytest.mark.parametrize(("rows", "columns"), [(60, 3), (200, 3), (200, 30), (41, 20)])
def test_parts_hold_each_row_once_and_are_alike(rows, columns):
    layout = laid_out(made(rows, columns))
    for panel in {tuple(part.panels[0]) for part in layout.parts}:
        own = [part.rows for part in layout.parts if tuple(part.panels[0]) == panel]
        assert [row for some in own for row in some] == list(range(rows))
        assert all(before.stop == after.start for before, after in pairwise(own))
        assert max(map(len, own)) - min(map(len, own)) <= 1
        assert len(own) >= 2 if rows > 60 else True


def test_a_smaller_size_where_one_float_then_holds_it():
    tall = made(44, 2)
    assert [(layout.measured.size, len(layout.parts)) for layout in [laid_out(tall)]] == [(SIZES[1], 1)]


def test_names_in_many_lines_and_sections_take_their_room():
    plain = laid_out(made(40, 2))
    assert len(plain.parts) == 1
    assert len(laid_out(made(40, 2, name="a_rather_long_name_of_a_clip_" * 3)).parts) > 1
    assert len(laid_out(made(40, 2, sections=tuple(f"section {n}" for n in range(20)))).parts) > 1


def test_a_section_s_name_makes_a_table_wider():
    measured = Measured(made(2, 1, sections=("a name of a section that is long",)), SIZES[1])
    assert measured.width([0, 1]) > Measured(made(2, 1), SIZES[1]).width([0, 1]) + 20
