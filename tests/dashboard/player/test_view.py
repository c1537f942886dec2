from dashboard.player import View


def test_an_empty_address_is_the_default_view_and_needs_no_parameters():
    view = View.read({})
    assert view == View()
    assert set(view.address().values()) == {None}


def test_what_was_chosen_comes_back_from_the_address():
    view = View(n="2", layout="over", paint="error", place="together", tokens="code")
    address = {name: value for name, value in view.address().items() if value is not None}
    assert set(address) == {"n", "layout", "paint", "place", "tokens"}
    assert View.read(address) == view
    assert View.read(view.told()) == view


def test_what_an_address_tells_wrong_is_left_at_its_default():
    told = {"n": "-3", "layout": "<b>", "paint": "over", "place": None, "tokens": "code", "other": "x"}
    assert View.read(told) == View(tokens="code")
    assert View.read({"n": "99999999999"}).n == "all"
    assert View.read({"n": "²"}).n == "all"
    assert View.read({"n": "unquantised"}).n == "unquantised"


def test_another_default_is_what_an_address_without_choices_means():
    default = View(tokens="code")
    assert View.read({}, default) == default
    assert set(default.address(default).values()) == {None}
    chosen = View(n="1", tokens="share")
    address = {name: value for name, value in chosen.address(default).items() if value is not None}
    assert address == {"n": "1", "tokens": "share"}
    assert View.read(address, default) == chosen
