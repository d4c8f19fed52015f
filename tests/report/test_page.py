"""The page of an evaluation, read as a browser would read it."""

import re
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from handful.errors import ImageError
from handful.evaluation import evaluate, teacher
from handful.report import render, write
from handful.rows import unit

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = ['<script>alert("1")</script>', '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}{% raw %}", "a & b's"]


class Page(HTMLParser):
    """Elements with their attributes, the text of each, and whether tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts, self.ids = [], [], [], set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids |= {value for name, value in attrs if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def evaluated(names, *, each=10, noise=1.8, shots=(0, 1, 3), seeds=3, picture_names=None):
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(len(names), 16))).astype(np.float32)
    y = np.repeat(np.arange(len(names)), each)
    X = unit(centres[y] + noise / 4 * rng.normal(size=(len(y), 16))).astype(np.float32)
    return evaluate(
        X,
        y,
        class_names=names,
        method="prototype",
        text=centres,
        shots=shots,
        seeds=seeds,
        rivals={"class means": teacher("prototype", X)},
        picture_names=picture_names or [f"{i}.jpg" for i in range(len(y))],
        settings={"method": names[0]},
    )


@pytest.fixture(scope="module")
def found():
    return evaluated(HOSTILE, picture_names=[f"<b>{i}</b>.jpg" for i in range(40)])


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (30, 40, 3), dtype=np.uint8) for _ in range(40)]


@pytest.fixture(scope="module")
def page(found, pictures):
    return Page(render(found, title="<i>Title</i>", pictures=pictures))


def test_every_tag_is_closed(page):
    assert page.open == []


def test_hostile_names_stay_text(page):
    assert not page.of("script")
    assert not page.of("i")
    assert all(img["src"].startswith("data:image/jpeg;base64,") for img in page.of("img"))
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    for name in HOSTILE:
        assert name in page.text
    assert "<i>Title</i>" in page.text


def test_nothing_is_fetched_from_elsewhere(found, pictures):
    html = render(found, title="t", pictures=pictures)
    assert not re.search(r"(src|href)=\"(?!data:image/jpeg;base64,|#)", html)
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_sections_are_reached_from_the_top(page):
    links = [a["href"] for a in page.of("a")]
    assert len(links) == 7
    assert all(link.startswith("#") and link[1:] in page.ids for link in links)


def test_tables_have_headers_that_say_what_they_are_of(page):
    assert page.of("th")
    assert all(th["scope"] in ("row", "col") for th in page.of("th"))


def test_pictures_and_plots_say_in_words_what_they_show(page):
    assert page.of("img")
    assert all(img["alt"] for img in page.of("img"))
    plots = [svg for svg in page.of("svg") if svg.get("class") == "plot"]
    assert len(plots) == 2
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in plots)


def test_figures_of_the_summary_are_those_of_the_evaluation(found, page):
    accuracy = found.held_out.estimates["accuracy"]
    assert f"{accuracy.value:.1%}" in page.text
    assert f"{100 * accuracy.low:.1f} to {accuracy.high:.1%}" in page.text
    assert f"{found.curve.estimate('handful', 3).value:.1%}" in page.text
    assert f"{found.curve.difference('handful', 'class means', 1).value:+.1%}" in page.text


def test_the_confusion_matrix_counts_every_judged_picture(found, page):
    shares = [attrs for attrs in page.of("td") if attrs.get("class") in ("hit", "miss")]
    assert len(shares) == np.count_nonzero(found.held_out.confusion)


def test_what_went_wrong_stands_beside_what_was_seen(found, page):
    count = len(found.held_out.mistakes)
    assert 0 < count <= 24
    assert len(page.of("img")) == count * (1 + 3 + 3)
    assert page.text.count("answered") >= count


def test_without_pictures_their_names_stand_in(found):
    page = Page(render(found, title="t"))
    assert not page.of("img")
    assert "<b>0</b>.jpg" in page.text


def test_a_picture_that_is_not_at_hand_is_a_name_among_pictures(found, pictures):
    some = [None if i % 2 else picture for i, picture in enumerate(pictures)]
    page = Page(render(found, title="t", pictures=some))
    assert page.of("img")
    assert [span for span in page.of("span") if span.get("class") == "blank"]


def test_no_mistakes_are_said_so():
    page = Page(render(evaluated(["a", "b", "c"], noise=0.1), title="t"))
    assert "every picture that could be left out was answered rightly" in page.text
    assert "no label stands out as wrong" in page.text


def test_two_classes_without_a_curve_make_a_shorter_page():
    page = Page(render(evaluated(["a", "b"], shots=()), title="t"))
    assert {"summary", "classes", "wrong", "labels", "settings"} <= page.ids
    assert not {"curve", "unknown"} & page.ids
    assert all(a["href"][1:] in page.ids for a in page.of("a"))


def test_many_classes_are_listed_instead_of_a_matrix():
    names = [f"class {i}" for i in range(30)]
    page = Page(render(evaluated(names, each=4, noise=3.0, shots=()), title="t"))
    assert "Commonest mistakes" in page.text
    assert not [table for table in page.of("table") if table.get("class") == "matrix"]


def test_pictures_that_could_not_be_left_out_are_counted():
    rng = np.random.default_rng(0)
    X = unit(rng.normal(size=(7, 8))).astype(np.float32)
    found = evaluate(X, [0, 0, 0, 1, 1, 1, 2], class_names="abc", method="prototype", shots=())
    assert "6 pictures were asked" in Page(render(found, title="t")).text
    assert "1 could not be left out" in Page(render(found, title="t")).text


def test_a_report_is_written_whole_or_not_at_all(found, pictures, tmp_path):
    path = tmp_path / "report.html"
    write(path, found, title="t", pictures=pictures)
    before = path.read_text(encoding="utf-8")
    assert before.startswith("<!doctype html>")
    with pytest.raises(ImageError):
        write(path, found, title="t", pictures=["gone.jpg"] * 40)
    assert path.read_text(encoding="utf-8") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_in_place_of_the_report_leaves_nothing_behind(found, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        write(tmp_path / "report.html", found, title="t")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def palettes():
    css = files("handful").joinpath("templates", "report.css.j2").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    return {
        name: dict(re.findall(r"--(\w+): (#\w{6})", block))
        for name, block in zip(("light", "dark"), blocks, strict=True)
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_have_the_contrast_that_wcag_asks_for(scheme):
    colours = palettes()[scheme]
    for ground in ("page", "card", "chip"):
        for text in ("ink", "soft"):
            assert contrast(colours[text], colours[ground]) >= 4.5
    for name in ("hit", "s0", "s1", "s2", "s3", "s4", "s5"):
        assert contrast(colours[name], colours["card"]) >= 4.5
