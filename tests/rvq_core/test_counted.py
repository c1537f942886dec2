from rvq_core.counted import counted, plural


def test_one_is_singular_and_all_else_plural():
    assert [counted(number, "held-out clip") for number in (0, 1, 2, 21)] == [
        "0 held-out clips",
        "1 held-out clip",
        "2 held-out clips",
        "21 held-out clips",
    ]
    assert (plural("frame", 1), plural("frame", 3)) == ("frame", "frames")
