"""The page and the report in a real browser: the system's Chromium, driven through Playwright."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from nestree.cli.serve import listen
from nestree.evaluation import Result, Share
from nestree.evaluation.record import record
from nestree.reports.page import write_page
from nestree.serve.app import application
from nestree.serve.reader import Reader
from nestree.tasks.listops import ListOps, encode, evaluate
from support.training import saved_run

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
EXPRESSION = "[MAX 2 9 [MIN 4 7 ] 0 ]"
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
SITE = Path(__file__).parents[2] / "build" / "site"

FOCUS = """() => {
    const focused = document.activeElement, style = getComputedStyle(focused);
    const name = focused.id || focused.className || focused.textContent.trim();
    return [name, focused.matches(":focus-visible") && style.outlineStyle !== "none" && style.outlineWidth !== "0px"];
}"""
"""The name of what has the keyboard's focus, and whether that is seen."""

TICK = "document.querySelector('svg.chart text')"

INJECTED = """new Promise((done) => {
    addEventListener("securitypolicyviolation", () => done(true));
    const probe = document.createElement("div");
    probe.setAttribute("onclick", "document.title = 1");
    document.body.append(probe);
    probe.click();
    setTimeout(() => done(false), 5000);
})"""
"""Whether the browser refused to run a script in an attribute."""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; tools/install_chromium.sh installs it as root"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page about a tiny RIR, served from this process."""
    run = saved_run(tmp_path_factory.mktemp("runs") / "rir", "rir-ebt-grc", encoder={"arity": 4, "beam_size": 3})
    with listen("127.0.0.1", 0) as listening:
        app = application(Reader(run, max_tokens=200))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about a tiny RIR with results, a log of its training, and trees."""
    folder = tmp_path_factory.mktemp("reports")
    run = saved_run(folder / "rir", "rir-ebt-grc", encoder={"arity": 4, "beam_size": 3})
    logs = run.logs / "csv" / "000"
    logs.mkdir(parents=True)
    (logs / "metrics.csv").write_text("step,loss,validation_accuracy\n0,2.0,\n1,1.5,0.25\n")
    for number, (test, length) in enumerate((("near-iid", 40), ("10000", 9100), ("args-10", 450), ("lra", 1030))):
        for inference in ("grouped", "flat"):
            groups = ["0-10", *(f"{first}01-{first + 1}00" for first in range(1, 10)), "1001-2000", "10001-"]
            strata = {"length": [Share(group, 3, 5) for group in groups], "depth": [Share("1", 36, 60)]}
            record(run, Result(test, inference, Share(test, 36, 60), strata, length, 1.0 + number, 0.25), seed=0)
    with pytest.MonkeyPatch.context() as patch:
        load = ListOps.load
        patch.setattr(ListOps, "load", lambda task, split, size=None: load(task, split, size=8))
        patch.setenv("NESTREE_CACHE", str(folder / "cache"))
        return write_page([run], folder / "report.html", trees=1)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone's page that must not complain, nor ask anyone else for anything."""
    context = browser.new_context(viewport={"width": 400, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: wrong.append(request.url) if not _ours(request.url) else None)
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield page
    context.close()
    # Chromium writes every answer above 399 into the console; the page itself says what it means.
    assert [text for text in wrong if "status of 4" not in text] == []


def _ours(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "file:", "data:"))


def fits(page: Page) -> bool:
    """Whether nothing but what scrolls by itself is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_typing_changes_the_tree(page: Page, address: str) -> None:
    page.goto(address)
    tree = page.locator(".tree svg")
    expect(tree).to_be_visible()
    expect(page.locator("#about")).to_contain_text("rir-ebt-grc on listops")
    page.get_by_label("Expression", exact=True).fill("[MIN 3 4 ]")
    expect(tree.locator(".token")).to_have_text(["[MIN", "3", "4", "]"])
    expect(page.locator("#verdict")).to_contain_text("%")
    assert fits(page)
    page.get_by_role("button", name=EXPRESSION, exact=True).click()
    expect(tree.locator(".token")).to_have_text(EXPRESSION.split())


def test_sliders_and_beams_change_what_is_shown(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Expression", exact=True).fill(EXPRESSION)
    expect(page.locator(".tree .frame")).to_have_count(3)  # groups of 4
    page.get_by_label("flat").check()
    expect(page.locator(".tree .frame")).to_have_count(0)
    page.get_by_label("grouped").check()
    expect(page.locator(".tree .frame")).to_have_count(3)
    page.get_by_label("Arity").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tree .frame")).to_have_count(2)
    page.get_by_label("Beam width").fill("1")
    expect(page.locator(".beams button")).to_have_count(1)
    page.get_by_label("Beam width").fill("9")
    expect(page.locator(".beams button").nth(2)).to_be_visible()
    page.locator(".beams button").nth(1).click()
    expect(page.locator(".beams button").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tree svg > title")).to_contain_text("tree 2 of")


@pytest.mark.parametrize("clock", ["as it is", "standing still"])
def test_the_times_add_up(page: Page, address: str, clock: str) -> None:
    if clock == "standing still":  # as a browser may have it, to which the server's times are longer than the whole
        page.add_init_script("performance.now = () => 0")
    page.goto(address)
    expect(page.locator("#timing")).to_contain_text("ms from request to display")
    page.get_by_role("button", name="Draw one").click()
    expect(page.locator("#timing")).not_to_have_text(re.compile(r"^9 tokens"))
    said = re.fullmatch(
        r"\d+ tokens; (\d+) ms from request to display: (\d+) ms reading, (\d+) ms drawing trees, (\d+) ms the rest",
        page.inner_text("#timing"),
    )
    assert said
    whole, *parts = map(int, said.groups())
    assert whole == sum(parts)


def test_what_cannot_be_read_is_said_and_never_run(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".tree svg")).to_be_visible()
    page.get_by_label("Expression", exact=True).fill("<img src=x onerror=alert(1)>")
    expect(page.locator("#message")).to_contain_text("<img")
    expect(page.locator("img")).to_have_count(0)
    page.get_by_label("Expression", exact=True).fill("[MAX 1 2 ]")
    expect(page.locator("#message")).to_be_empty()


def test_a_script_that_got_into_the_page_would_not_run(browser: Browser, address: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        assert page.evaluate(INJECTED)
        assert page.title() != "1"


def test_a_random_expression_comes_with_its_answer(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".tree svg")).to_be_visible()
    page.get_by_label("Random expression").fill("150")
    page.get_by_role("button", name="Draw one").click()
    expect(page.locator(".tree .fold").first).to_be_visible()
    expression = page.get_by_label("Expression", exact=True).input_value()
    assert 130 <= len(expression.split()) <= 150
    answer, gold = page.inner_text("#label"), str(evaluate(encode(expression)))
    expect(page.locator("#verdict")).to_contain_text(", right" if answer == gold else f"wrong: the answer is {gold}")
    assert fits(page)


def tab_to(page: Page, name: str, *, most: int = 40) -> list[str]:
    """Go on by the tabulator until ``name`` has the focus; what had it on the way, each seen to have it."""
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        found, seen = page.evaluate(FOCUS)
        assert seen, f"the focus on {found} cannot be seen"
        passed.append(found)
        if found == name:
            return passed
    raise AssertionError(f"{name} cannot be reached by the tabulator; only {passed}")


def test_the_page_can_be_used_by_keyboard(page: Page, address: str) -> None:
    page.goto(address)
    tree = page.locator(".tree svg")
    expect(tree).to_be_visible()
    tab_to(page, "text-0")
    page.keyboard.press("Control+A")
    page.keyboard.type("[MIN 3 4 ]")
    expect(tree.locator(".token")).to_have_text(["[MIN", "3", "4", "]"])
    tab_to(page, EXPRESSION)  # an example
    page.keyboard.press("Enter")
    expect(tree.locator(".token")).to_have_text(EXPRESSION.split())
    assert tab_to(page, "draw")[-2:] == ["length", "draw"]
    tab_to(page, "beam_size")
    page.keyboard.press("End")
    assert tab_to(page, "arity") == ["arity"]
    page.keyboard.press("ArrowRight")  # groups of 5
    expect(page.locator(".tree .frame")).to_have_count(2)
    page.keyboard.press("Tab")  # the switch
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("flat")).to_be_checked()
    expect(page.locator(".tree .frame")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tree .frame")).to_have_count(2)
    tab_to(page, "width")
    page.keyboard.press("Home")
    expect(page.locator(".tree .fold").first).to_be_visible()
    tab_to(page, "beam-0-1")
    page.keyboard.press("Space")
    expect(page.locator("#beam-0-1")).to_have_attribute("aria-pressed", "true")
    tab_to(page, "brackets-0")
    page.keyboard.press("Enter")
    expect(page.locator(".brackets")).to_contain_text("[MAX")


def test_a_new_answer_leaves_focus_and_open_parts_as_they_are(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_text("As brackets").click()
    page.locator(".tree").focus()
    page.evaluate(
        """() => {
            const area = document.querySelector("textarea");
            area.value = "[MIN 3 4 ]";
            area.dispatchEvent(new Event("input"));
        }"""
    )
    expect(page.locator(".tree .token")).to_have_text(["[MIN", "3", "4", "]"])
    expect(page.locator(".tree")).to_be_focused()
    expect(page.locator(".brackets")).to_be_visible()


def test_a_change_of_the_answer_is_announced(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("#verdict")).to_contain_text("%")
    # Screen readers speak of changes in a region that was there before; politely is what role status means.
    page.evaluate(
        """() => {
            window.spoken = [];
            const region = document.querySelector(".answer[role=status][aria-atomic=true]");
            const note = () => window.spoken.push(region.textContent.trim());
            new MutationObserver(note).observe(region, {childList: true, characterData: true, subtree: true});
        }"""
    )
    page.get_by_label("Expression", exact=True).fill("[MIN 3 4 ]")
    said = ""
    for _ in range(200):  # the answer before may read the same, so the page's text alone does not tell when
        said = page.evaluate("window.spoken.at(-1) ?? ''")
        if said.endswith((", right", ": the answer is 3")):
            break
        page.wait_for_timeout(50)
    assert re.search(r"^\d.* %, (right|wrong: the answer is 3)$", said, re.DOTALL)
    page.get_by_label("Expression", exact=True).fill("[MIN 3")
    expect(page.locator("#message[role=status]")).to_contain_text("missing")


def test_a_tree_can_be_heard(page: Page, address: str, report: Path) -> None:
    page.goto(address)
    expect(page.get_by_role("img", name="Tree: tree 1 of")).to_be_visible()
    for at in (address, report.as_uri()):
        page.goto(at)
        expect(page.get_by_role("img", name="Tree: ").first).to_be_visible()
        nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
        trees = [node for node in nodes if node.get("name", {}).get("value", "").startswith("Tree: ")]
        heard = [node.get("description", {}).get("value", "") for node in trees if node["role"]["value"] == "image"]
        assert heard
        assert all(re.match(r"\(+\S+ .*\)", text) for text in heard), heard


def violations(page: Page) -> list[str]:
    """What axe finds wrong, each rule with where."""
    page.evaluate("document.fonts.ready")
    found = Axe().run(page, options={"preload": False}).response["violations"]  # else it fetches style sheets itself
    return [f"{rule['id']} at {node['target']}: {node['failureSummary']}" for rule in found for node in rule["nodes"]]


@SCHEMES
def test_axe_finds_nothing_wrong_with_the_page(page: Page, address: str, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(address)
    expect(page.locator(".tree svg")).to_be_visible()
    page.get_by_text("As brackets").click()
    assert violations(page) == []
    page.get_by_label("Expression", exact=True).fill("[MAX 2 what ]")
    expect(page.locator("#message")).to_contain_text("what")
    assert violations(page) == []


@SCHEMES
def test_axe_finds_nothing_wrong_with_a_report(page: Page, report: Path, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    assert violations(page) == []


@SCHEMES
@pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="the site is not built; `make docs` does it")
def test_axe_finds_nothing_wrong_with_the_documentation(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto((SITE / "index.html").as_uri())
    assert violations(page) == []


@pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="the site is not built; `make docs` does it")
@pytest.mark.parametrize("name", ["index", "trees", "tasks", "reference/trees"])
def test_the_documentation_fits_a_phone(page: Page, name: str) -> None:
    page.goto((SITE / f"{name}.html").as_uri())
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert fits(page)


def test_a_report_can_be_used_by_keyboard(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    passed = tab_to(page, "Every option", most=80)
    assert passed[:3] == ["Accuracy", "Trees", "Training"]
    assert passed.count("scroll") >= 4  # tables, charts and trees scroll by the arrow keys
    page.keyboard.press("Enter")
    expect(page.get_by_role("rowheader", name="encoder.arity")).to_be_visible()


def test_dark_readers_get_a_dark_page(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(address)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert all(int(part) < 40 for part in background[4:-1].split(","))


def test_the_tables_and_charts_of_a_report_fit_a_window(page: Page, report: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    wider = """() => [...document.querySelectorAll(".scroll")]
        .filter((box) => box.querySelector("table, .chart") && box.scrollWidth > box.clientWidth)
        .map((box) => box.getAttribute("aria-label"))"""
    assert page.evaluate(wider) == []
    beside = """[...document.querySelectorAll(".panels")]
        .map((row) => new Set([...row.children].map((panel) => panel.offsetTop)).size)"""
    assert page.evaluate(beside) == [1, 1, 1]
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate(beside) == [3, 3, 3]
    assert fits(page)


@SCHEMES
def test_a_report_opens_on_a_phone(page: Page, report: Path, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("rir")
    expect(page.locator("svg.chart")).to_have_count(3 * 3 + 1)  # accuracy and two strata, each of three; the training
    expect(page.get_by_role("img", name="Tree: probability").first).to_be_visible()
    colours = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle($chart).fill]".replace("$chart", TICK)
    )
    assert colours[0] == colours[1]
    assert fits(page)
    page.get_by_role("link", name="Configuration").click()
    page.get_by_text("Every option").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("rowheader", name="encoder.arity")).to_be_visible()
