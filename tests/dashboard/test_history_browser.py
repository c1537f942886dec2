"""Back and Forward of a real browser: one press a page, and the page as it was when it was left."""

import pytest
from browser import PATIENCE, check, go_to, playwright, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]


def ended(page) -> None:
    """Wait until the run has ended: how many charts the Code page has depends on the code."""
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")


def expect_code(page, layer: int, code: int) -> None:
    page.get_by_role("heading", name="Code", exact=True).wait_for()
    layers = page.get_by_role("combobox", name="Layer", exact=True)
    playwright.expect(layers).to_have_value(str(layer), timeout=PATIENCE)
    playwright.expect(page.get_by_role("spinbutton", name="Code", exact=True)).to_have_value(str(code))
    page.wait_for_url("**/code?**")
    ended(page)


def test_back_and_forward_show_the_pages_as_they_were_left(server, page):
    page.goto(f"{server}/code?layer=2&code=3")
    expect_code(page, 2, 3)
    go_to(page, "Codebook map")
    settle(page, 1)
    page.get_by_role("radio", name="norm").click()
    page.wait_for_url("**colour=norm**")
    settle(page, 1)
    go_to(page, "Clip")
    page.wait_for_url("**/clip?clip=**")  # written while the page is drawn, and no place to go back to
    settle(page, 0)

    page.go_back()
    page.get_by_role("heading", name="Codebook map", exact=True).wait_for()
    settle(page, 1)
    playwright.expect(page.get_by_role("radio", name="norm")).to_be_checked(timeout=PATIENCE)
    page.go_back()
    expect_code(page, 2, 3)
    check(page)
    page.go_forward()
    page.get_by_role("heading", name="Codebook map", exact=True).wait_for()
    playwright.expect(page.get_by_role("radio", name="norm")).to_be_checked(timeout=PATIENCE)
    settle(page, 1)
    check(page)


def test_the_code_page_keeps_its_code_in_the_address_and_in_an_emptied_field(server, page):
    page.goto(f"{server}/code")
    page.wait_for_url("**/code?code=*")
    ended(page)
    field = page.get_by_role("spinbutton", name="Code", exact=True)
    field.fill("5")
    field.press("Enter")
    page.wait_for_url("**code=5**")
    ended(page)
    field.fill("")
    field.press("Enter")
    page.get_by_text("a number from 0 to 15, the codes of layer 1; 5 stays").wait_for()
    expect_code(page, 1, 5)
    go_to(page, "Usage")
    settle(page, None)
    page.go_back()
    expect_code(page, 1, 5)
    check(page)
