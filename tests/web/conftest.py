"""A page of the browser beside the modules that pages share."""

import pytest

from dashdeploy.web.page_files import MEDIA_TYPES, SHARED, page_files


@pytest.fixture(scope="module")
def page(browser):
    """An empty page beside the modules."""
    files = page_files(SHARED)

    def answer(route):
        name = route.request.url.rpartition("/")[2]
        suffix = name[name.rfind(".") :] if "." in name else ".html"
        route.fulfill(body=files.get(name, b"<!doctype html>"), content_type=MEDIA_TYPES[suffix])

    page = browser.new_page()
    page.route("**/*", answer)
    page.goto("http://modules.test/")
    yield page
    page.close()
