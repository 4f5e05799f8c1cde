"""The gallery in headless Chromium, opened from its file: what a reader does, and what is then seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from scanlens.pictures.overlays import ALPHAS, COLOURS
from tests.helpers.galleries import Browser, Opened, make_gallery, scan_id

HOSTILE = ['<img src=x onerror="alert(1)">', "</script><script>alert(2)</script>", "'\"&`{{ 7*7 }}<!--"]
GREY = np.array([128, 128, 128])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("volumes"), depth=5)


def coloured(value: int) -> list[int]:
    """RGBA of a probability on the map's canvas; browsers keep colours multiplied by their opacity."""
    return pytest.approx([*COLOURS[value].tolist(), round(255 * ALPHAS[value])], abs=3)


def over(value: int, share: float = 1.0) -> np.ndarray:
    """Colour of a probability over mid-grey at an opacity."""
    alpha = share * ALPHAS[value]
    return GREY * (1 - alpha) + COLOURS[value] * alpha


def pressed(opened: Opened, selector: str) -> bool:
    return bool(opened.page.locator(selector).get_attribute("aria-pressed") == "true")


def keys(opened: Opened, *names: str) -> None:
    for name in names:
        opened.page.keyboard.press(name)


def hidden(opened: Opened, selector: str) -> bool:
    return bool(opened.page.locator(selector).first.is_hidden())


def middle_of_cell(seen: np.ndarray, row: int, column: int) -> np.ndarray:
    height, width = seen.shape[:2]
    return np.asarray(seen[int((row + 0.5) / 4 * height), int((column + 0.5) / 4 * width)])


def test_colours_are_those_of_the_scale_over_the_scan(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(0)}&regions=0&outline=0&cells=1") as opened:
        seen = opened.screen("#viewer .stage .frame:nth-child(2)")
        np.testing.assert_allclose(middle_of_cell(seen, 0, 0), over(255), atol=3)
        np.testing.assert_allclose(middle_of_cell(seen, 2, 2), over(51), atol=3)


def test_the_opacity_slider_changes_what_is_seen(browser: Browser, page: Path) -> None:
    cell = "#list li:last-child .frame"
    with browser.open(page, "#regions=0&outline=0") as opened:
        full = middle_of_cell(opened.screen(cell), 0, 0)
        opened.page.locator("#opacity").fill("50")
        half = middle_of_cell(opened.screen(cell), 0, 0)
        opened.page.locator("#opacity").fill("0")
        assert np.abs(opened.screen(cell)[4:-4, 4:-4] - 128).max() <= 1, "at 0 there is the scan alone"
        assert "opacity=0" in opened.page.url
    np.testing.assert_allclose(half - 128, (full - 128) / 2, atol=4)
    assert np.abs(full - 128).max() > 60


def test_one_case_may_have_an_opacity_of_its_own(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(2)}") as opened:
        opened.page.locator("#v-opacity").fill("20")
        style = "getComputedStyle(document.querySelector('{}')).opacity"
        assert opened.page.evaluate(style.format("#viewer .map")) == "0.2"
        opened.page.locator("#after").click()
        assert opened.page.evaluate(style.format("#viewer .map")) == "1"
        keys(opened, "Escape")
        assert opened.page.evaluate(style.format(f"li[data-id={scan_id(2)}] .map")) == "0.2"
        opened.page.locator("#opacity").fill("80")
        assert opened.page.evaluate(style.format(f"li[data-id={scan_id(2)}] .map")) == "0.8"


@pytest.mark.parametrize("choose", ["click", "key", "select"])
def test_the_class_switch_shows_another_map(browser: Browser, page: Path, choose: str) -> None:
    fragment = "#cells=1" if choose == "select" else f"#case={scan_id(0)}&cells=1"
    canvas = f"li[data-id={scan_id(0)}] .map" if choose == "select" else "#viewer .map"
    with browser.open(page, fragment) as opened:
        assert opened.pixel(canvas, 0.125, 0.125) == coloured(255)
        if choose == "click":
            opened.page.locator("#viewer button[data-class='2']").click()
        elif choose == "key":
            keys(opened, "3")
        else:
            opened.page.locator("#map").select_option("2")
        assert opened.pixel(canvas, 0.125, 0.125) == coloured(51)
        assert opened.pixel(canvas, 0.625, 0.125) == coloured(255)
        if choose != "select":
            assert pressed(opened, "#viewer button[data-class='2']")
            assert "class=2" in opened.page.url


def test_interpolation_meets_the_places_at_their_centres(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(0)}") as opened:
        smooth = [opened.pixel("#viewer .map", x, 0.124)[3] for x in (0.124, 0.25, 0.376)]
        keys(opened, "p")
        square = [opened.pixel("#viewer .map", x, 0.124)[3] for x in (0.124, 0.249, 0.251)]
    assert square == [round(255 * ALPHAS[value]) for value in (255, 255, 51)]
    np.testing.assert_allclose(smooth, [255 * ALPHAS[value] for value in (255, 153, 51)], atol=2)


def test_the_probability_under_the_pointer_is_said(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(0)}") as opened:
        box = opened.page.locator("#viewer .frame").nth(1).bounding_box()
        opened.page.mouse.move(box["x"] + box["width"] / 8, box["y"] + box["height"] / 8)
        assert opened.page.locator(".probe").inner_text() == "normal 1.00"
        opened.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9)
        assert opened.page.locator(".probe").inner_text() == "normal 0.20"
        cursor = opened.page.locator("#viewer .cursor").bounding_box()
        assert cursor["width"] == pytest.approx(box["width"] / 4, abs=3)


def test_keys_move_enlarge_and_close(browser: Browser, page: Path) -> None:
    with browser.open(page) as opened:
        order = opened.order()
        keys(opened, "ArrowRight", "ArrowRight", "Enter")
        assert f"case={order[1]}" in opened.page.url
        keys(opened, "ArrowRight")
        assert f"case={order[2]}" in opened.page.url
        keys(opened, "ArrowLeft", "ArrowLeft", "ArrowLeft")
        assert f"case={order[0]}" in opened.page.url
        keys(opened, "Escape")
        opened.until("!location.hash.includes('case=')")
        assert hidden(opened, "#viewer")
        focused = "document.activeElement.closest('li')?.dataset.id"
        assert opened.page.evaluate(focused) == order[0], "the focus is where the reader left"
        keys(opened, "End", "ArrowDown")
        columns = opened.page.evaluate(
            "[...document.querySelectorAll('#list li')].filter((li) => li.getBoundingClientRect().top ==="
            " document.querySelector('#list li').getBoundingClientRect().top).length"
        )
        assert opened.page.evaluate(focused) == order[columns]


@pytest.mark.parametrize(
    ("key", "gone"), [("m", ".map"), ("o", ".lesion"), ("r", ".region")], ids=["map", "outline", "regions"]
)
def test_keys_hide_and_show_layers(browser: Browser, page: Path, key: str, gone: str) -> None:
    with browser.open(page, f"#case={scan_id(4)}") as opened:
        selector = f"#viewer .frame:nth-child(2) {gone}"
        frame = "#viewer .frame:nth-child(2)"
        before = opened.screen(frame)
        assert not hidden(opened, selector)
        keys(opened, key)
        assert hidden(opened, selector)
        assert (opened.screen(frame) != before).any()
        keys(opened, key)
        assert not hidden(opened, selector)


def test_keys_for_opacity_places_pair_theme_and_help(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(4)}") as opened:
        keys(opened, "[", "[")
        assert opened.page.locator("#v-opacity").input_value() == "80"
        keys(opened, "]")
        assert opened.page.locator("#v-opacity").input_value() == "90"
        keys(opened, "s")
        assert opened.page.locator("#viewer .frame:visible").count() == 2
        keys(opened, "d")
        assert opened.page.evaluate("document.documentElement.dataset.theme") == "light"
        keys(opened, "?")
        assert opened.page.locator("#help").is_visible()
        keys(opened, "Escape")
        assert not opened.page.locator("#help").is_visible()
        assert opened.page.locator("#viewer").is_visible()


def test_keys_typed_into_the_search_are_text(browser: Browser, page: Path) -> None:
    with browser.open(page) as opened:
        keys(opened, "/")
        opened.page.keyboard.type("b0m")
        assert opened.page.locator("#find").input_value() == "b0m"
        assert pressed(opened, "#on")
        assert opened.order() == []
        assert opened.page.locator("#none").is_visible()
        opened.page.locator("#reset").click()
        assert len(opened.order()) == 6


def test_orders(browser: Browser, page: Path) -> None:
    growing = [5, 4, 3, 2, 1, 0]
    orders = {
        **dict.fromkeys(("uncertainty", "confidence", "size", "peak", "distance"), growing),
        # Wrong ones (odd) by confidence, then right ones (even), the least sure first.
        "error": [5, 3, 1, 0, 2, 4],
        # By id, and even scans have the smaller ones; of one label likewise.
        "id": [0, 2, 4, 1, 3, 5],
        "label": [0, 3, 4, 1, 2, 5],
    }
    with browser.open(page) as opened:
        for sort, expected in orders.items():
            opened.page.locator("#sort").select_option(sort)
            assert opened.order() == [scan_id(number) for number in expected], sort
        opened.page.locator("#sort").select_option("error")
        opened.page.locator("#down").click()
        assert opened.order() == [scan_id(number) for number in reversed(orders["error"])]


def test_filters(browser: Browser, page: Path) -> None:
    with browser.open(page) as opened:
        for control, value, expected in (
            ("label", "1", {1, 4}),
            ("predicted", "2", {1, 2}),
            ("only", "wrong", {1, 3, 5}),
            ("only", "right", {0, 2, 4}),
            ("only", "abstained", {0, 3}),
            ("only", "missed", {1, 5}),
            ("find", "B0", {1, 3, 5}),
        ):
            field = opened.page.locator(f"#{control}")
            change = field.fill if control == "find" else field.select_option
            change(value)
            assert set(opened.order()) == {scan_id(number) for number in expected}, value
            assert opened.page.locator("#count").inner_text() == f"{len(expected)} of 6"
            change("")
        opened.page.locator("#label").select_option("1")
        opened.page.locator("#only").select_option("wrong")
        assert opened.order() == [scan_id(1)], "filters add up"


def test_a_number_of_the_table_of_classes_shows_its_scans(browser: Browser, page: Path) -> None:
    with browser.open(page) as opened:
        opened.page.locator("#table-of-classes summary").click()
        cells = opened.page.locator("#confusion td").all_inner_texts()
        assert cells == ["1", "1", "·", "·", "1", "1", "1", "·", "1"]
        opened.page.locator("#confusion button").nth(1).click()
        assert opened.order() == [scan_id(3)]


def test_a_link_opens_the_same_view(browser: Browser, page: Path) -> None:
    with browser.open(page) as opened:
        opened.page.locator("#sort").select_option("error")
        opened.page.locator("#only").select_option("wrong")
        opened.page.locator("#opacity").fill("40")
        opened.page.locator("#theme").select_option("black")
        opened.page.locator("#list button").nth(1).click()
        keys(opened, "2", "s")
        link, title = opened.page.url, opened.page.locator("#case-title").inner_text()
    with browser.open(page, link[link.index("#") :]) as opened:
        assert opened.page.url == link
        assert opened.page.locator("#case-title").inner_text() == title
        assert opened.page.locator("#sort").input_value() == "error"
        assert opened.page.locator("#v-opacity").input_value() == "40"
        assert opened.page.evaluate("document.documentElement.dataset.theme") == "black"
        assert pressed(opened, "#viewer button[data-class='1']")
        assert pressed(opened, "#v-pair")
        assert len(opened.order()) == 3
        opened.page.evaluate(f"location.hash = '#case={scan_id(0)}'")
        opened.until("document.querySelector('#case-title').innerText.includes('recognised')")
        assert len(opened.order()) == 6


def test_a_broken_link_opens_the_list(browser: Browser, page: Path) -> None:
    with browser.open(page) as opened:
        for fragment in (
            "#case=none&sort=x&label=9&only=%3Cb%3E&opacity=zz&map=__proto__",
            "#%",
            "#&&==",
            "#label=toString&class=1e9",
        ):
            opened.page.goto("about:blank")
            opened.page.goto(f"{page.as_uri()}{fragment}")
            assert len(opened.order()) == 6
            assert hidden(opened, "#viewer")


def test_an_enlarged_case_says_what_is_known_of_it(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(3)}") as opened:
        text = opened.page.locator("#viewer .side").inner_text()
        for part in (
            "0.70",
            "abstained",
            scan_id(3),
            "0.571",
            "49 mm²",
            "distance 0.030",
            "42 %",
            "9 \N{MULTIPLICATION SIGN} 9 pixels",
        ):
            assert part in text, part
        assert opened.page.locator("#viewer .chip").all_inner_texts() == ["normal", "nodule"]
        box = opened.page.locator("#viewer .region rect").bounding_box()
        frame = opened.page.locator("#viewer .frame").nth(1).bounding_box()
        assert box["width"] / frame["width"] == pytest.approx(7 / 32, abs=0.02)
        square = opened.page.locator("#viewer .square").bounding_box()
        assert square["width"] == pytest.approx(min(frame["width"] / 4, 172), abs=8)
        assert opened.page.locator("#viewer .near img").evaluate("(image) => image.naturalWidth") == 32


def test_brightness_changes_the_scan_and_not_the_map(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(0)}&regions=0&outline=0&pair=1") as opened:
        plain = "#viewer .frame:nth-child(1)"
        before = opened.screen(plain)[20, 20]
        map_before = opened.pixel("#viewer .map", 0.5, 0.5)
        opened.page.locator("#v-bright").fill("150")
        np.testing.assert_allclose(opened.screen(plain)[20, 20], before * 1.5, atol=2)
        assert opened.pixel("#viewer .map", 0.5, 0.5) == map_before
        opened.page.locator("#v-reset").click()
        np.testing.assert_array_equal(opened.screen(plain)[20, 20], before)


def test_colour_scans_are_grey_under_their_map_alone(browser: Browser, tmp_path: Path) -> None:
    with browser.open(
        make_gallery(tmp_path, colour=True), f"#case={scan_id(0)}&on=0&pair=1&regions=0"
    ) as opened:
        plain, under = (opened.screen(f"#viewer .frame:nth-child({number})")[30, 30] for number in (1, 2))
        assert plain.tolist() == pytest.approx([255, 128, 128], abs=2)
        assert np.ptp(under) <= 1


def test_zooming_enlarges_about_the_pointer(browser: Browser, page: Path) -> None:
    with browser.open(page, f"#case={scan_id(0)}&cells=1&regions=0&outline=0") as opened:
        frame = opened.page.locator("#viewer .frame").nth(1)
        box = frame.bounding_box()
        opened.page.mouse.move(box["x"] + 2, box["y"] + 2)
        for _ in range(4):
            opened.page.mouse.wheel(0, -100)
        opened.page.mouse.move(1, 1)
        seen = opened.screen("#viewer .frame:nth-child(2)")
        np.testing.assert_allclose(seen[seen.shape[0] // 2, seen.shape[1] // 2], over(255), atol=4)
        keys(opened, "0")
        seen = opened.screen("#viewer .frame:nth-child(2)")
        np.testing.assert_allclose(seen[seen.shape[0] // 2, seen.shape[1] // 2], over(51), atol=4)


def test_slices_of_a_volume(browser: Browser, volumes: Path) -> None:
    with browser.open(volumes, f"#case={scan_id(0)}&regions=0&outline=0&on=0") as opened:
        opened.page.wait_for_selector("#viewer canvas.slice.under")
        frame = "#viewer .frame:nth-child(2)"
        assert opened.page.locator("#viewer .slices .number").inner_text() == "1 / 5"
        greys = []
        for _ in range(3):
            greys.append(int(opened.screen(frame)[30, 30, 0]))
            keys(opened, "ArrowUp")
        assert greys == pytest.approx([0, 0.2 * 255, 0.4 * 255], abs=2)
        assert opened.page.locator("#viewer .slices .number").inner_text() == "4 / 5"
        keys(opened, "ArrowDown")
        opened.page.locator("#v-slice").fill("1")
        assert "slice=1" in opened.page.url
        keys(opened, "m", "p", "2")
        assert opened.pixel("#viewer .map", 0.375, 0.125) == coloured(255), "nodule peaks in slice 1"
        opened.page.locator("#v-slice").fill("3")
        assert opened.pixel("#viewer .map", 0.375, 0.125) == coloured(51)
        assert opened.page.locator("#viewer a").all_inner_texts() == ["picture", "moving slices"]
        link = opened.page.url
    with browser.open(volumes, link[link.index("#") :]) as opened:
        assert opened.page.locator("#viewer .slices .number").inner_text() == "4 / 5"


def test_regions_of_a_volume_are_framed_on_their_slices_only(browser: Browser, volumes: Path) -> None:
    with browser.open(volumes, f"#case={scan_id(0)}") as opened:
        assert opened.page.locator("#viewer .region").count() == 1
        keys(opened, "ArrowUp")
        assert opened.page.locator("#viewer .region").count() == 0
        keys(opened, "2")
        opened.page.locator("#viewer tr[data-region] button").click()
        assert opened.page.locator("#viewer .slices .number").inner_text() == "1 / 5"
        assert opened.page.locator("#viewer .region").count() == 1
        assert pressed(opened, "#viewer button[data-class='0']")


def test_hostile_labels_are_text(browser: Browser, tmp_path: Path) -> None:
    with browser.open(make_gallery(tmp_path, labels=HOSTILE)) as opened:
        assert opened.page.evaluate("document.querySelectorAll('img[src=x], script').length") == 2
        opened.page.locator("#list button").first.click()
        assert opened.page.locator("#viewer .classes .name").all_inner_texts() == HOSTILE
        options = opened.page.locator("#label option").all_inner_texts()
        assert options == ["all", *HOSTILE]
        assert opened.page.evaluate("document.querySelectorAll('img[src=x], script').length") == 2


def test_the_policy_stops_what_is_slipped_in(browser: Browser, tmp_path: Path) -> None:
    source = make_gallery(tmp_path).read_text(encoding="utf-8")
    page = tmp_path / "changed.html"
    page.write_text(
        source.replace("</header>", "<script>document.title = 'taken'</script></header>"), "utf-8"
    )
    with browser.open(page) as opened:
        assert opened.page.title() == "Probability maps"
        assert any("Content Security Policy" in text for text in opened.complaints)
        opened.complaints.clear()


def test_a_missing_picture_is_said(browser: Browser, page: Path, tmp_path: Path) -> None:
    shutil.copy(page, tmp_path / "alone.html")
    with browser.open(tmp_path / "alone.html") as opened:
        opened.page.wait_for_selector(".frame.missing")
        assert {text.split(": ")[-1] for text in opened.complaints} == {"net::ERR_FILE_NOT_FOUND"}
        opened.complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_any_width_holds_the_page(browser: Browser, page: Path, scheme: str) -> None:
    cells = "[...document.querySelectorAll('#list li')]"
    edge = f"Math.max(...{cells}.map((one) => one.getBoundingClientRect().right))"
    with browser.open(page, color_scheme=scheme) as opened:
        for width, height in ((360, 740), (768, 1024), (1920, 1080)):
            opened.page.set_viewport_size({"width": width, "height": height})
            opened.until(f"innerWidth === {width} && {edge} <= innerWidth")
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
            opened.page.locator("#list button").first.click()
            assert opened.page.evaluate("document.querySelector('#viewer').scrollWidth") <= width
            frame = opened.page.locator("#viewer .frame").nth(1).bounding_box()
            assert frame["width"] >= 0.4 * min(width, height)
            assert frame["x"] >= 0
            assert frame["x"] + frame["width"] <= width
            keys(opened, "Escape")
            opened.until("!location.hash.includes('case=')")


def test_every_control_has_a_name(browser: Browser, page: Path) -> None:
    """As a screen reader hears it: by its text, its label or its aria-label."""
    nameless = """() => [...document.querySelectorAll("button, select, input, a, img:not([alt=''])")]
        .filter((one) => !(one.getAttribute("aria-label") || one.alt || one.textContent.trim()
            || one.labels?.[0]?.textContent.trim()))
        .map((one) => one.outerHTML.slice(0, 80))"""
    with browser.open(page) as opened:
        assert opened.page.evaluate(nameless) == []
        opened.page.locator("#list button").first.click()
        assert opened.page.evaluate(nameless) == []


CONTRAST = """() => {
    const read = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (node) => {
        for (let one = node; one; one = one.parentElement) {
            const colour = read(getComputedStyle(one).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || !node.offsetParent || node.closest(".frame, noscript, script, option")) continue;
        const [a, b] = [light(read(getComputedStyle(node).color)), light(ground(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${node.className || node.tagName} ${ratio.toFixed(2)}`);
    }
    return poor;
}"""


@pytest.mark.parametrize("fragment", ["", f"#case={scan_id(3)}"], ids=["list", "case"])
def test_texts_stand_out_from_their_ground(browser: Browser, page: Path, fragment: str) -> None:
    """At least 4.5 to 1, as the Web Content Accessibility Guidelines ask."""
    with browser.open(page, fragment, reduced_motion="reduce") as opened:
        for theme in ("light", "dark", "black"):
            keys(opened, "d")
            assert opened.page.evaluate("document.documentElement.dataset.theme") == theme
            assert opened.page.evaluate(CONTRAST) == [], theme


def test_an_empty_gallery_opens(browser: Browser, tmp_path: Path) -> None:
    with browser.open(make_gallery(tmp_path, scans=0)) as opened:
        assert opened.page.locator("#none").is_visible()
        keys(opened, "ArrowRight", "1", "Enter")
        assert hidden(opened, "#viewer")
