"""*Landscape*: loss, gradient, ridge and walks are those of stnlib's solved transformer."""

import numpy as np
import pytest
from pages import state

from stnlib.book import toy, walks

CLOSE = dict(rtol=1e-5, atol=1e-5)
STATE = "document.querySelector('figure.interactive').stnState"


@pytest.fixture
def page(show):
    return show("landscape")


def reported(border, sampler, theta):
    image = toy.cone(border)
    found = toy.gradient(image, theta, image)
    return found.interior if sampler == "clipped" else found.total


@pytest.mark.parametrize("border", [0, 0.5, 1])
def test_loss_and_both_parts_of_the_gradient_are_those_of_the_toy(page, border):
    rng = np.random.default_rng(0)
    edges = [(0, 0), (0, 0.5), (1, 0), (1, 2), (2, 3), (-1, 0.3), (0.4, -1.4), (1, 1), (0.5, 0.5)]
    theta = np.concatenate([rng.uniform((-3, -4.5), (3.5, 4.5), (300, 2)), edges])
    found = np.array(
        page.evaluate(
            "([border, thetas]) => thetas.map(([s, t]) => [...Toy.read(border, s, t)])",
            [border, theta.tolist()],
        )
    )
    image = toy.cone(border)
    wanted = toy.gradient(image, theta, image)
    np.testing.assert_allclose(found[:, 0], toy.loss(image, theta, image), **CLOSE)
    np.testing.assert_allclose(found[:, 1:3], wanted.interior, **CLOSE)
    np.testing.assert_allclose(found[:, 3:], wanted.boundary, **CLOSE)


WALK = """([options, steps, noise]) => {
    let k = 0;
    const group = Toy.walkers({ count: 1, ...options }, () => noise[k++]), path = [];
    for (let step = 0; step < steps; step++) {
        group.step();
        path.push([...group.all[0].place, group.all[0].out]);
    }
    return path;
}"""


@pytest.mark.parametrize("sampler", ["correct", "clipped"])
@pytest.mark.parametrize("border", [0, 0.5])
def test_a_walker_of_adam_takes_the_steps_of_stnlib_with_the_same_noise(page, border, sampler):
    noise = np.random.default_rng(1).normal(size=(300, 2))
    options = dict(border=border, sampler=sampler, method="adam", rate=0.1, noise=4, start=[1.2, 1])
    found = page.evaluate(WALK, [options, 300, noise.ravel().tolist()])
    draws = iter(noise)

    def slope(theta):
        return reported(border, sampler, theta) + 4 * next(draws)

    path = np.array([*walks.adam(slope, options["start"], 0.1, 300)])
    out = np.flatnonzero(np.abs(path[:, 1]) >= 1 + np.abs(path[:, 0]) - 1e-6)
    until = out[0] + 1 if len(out) else 300
    np.testing.assert_allclose([row[:2] for row in found[:until]], path[:until], **CLOSE)
    assert found[-1][2] == (until if len(out) else None)


def test_gradient_descent_takes_its_rate_times_the_gradient(page):
    options = dict(border=0.5, sampler="correct", method="descent", rate=0.2, noise=0)
    found = page.evaluate(WALK, [options | {"start": [1.6, 0.7]}, 50, []])
    theta = np.array([1.6, 0.7])
    for row in found:
        theta = theta - 0.2 * reported(0.5, "correct", theta)
        np.testing.assert_allclose(row[:2], theta, **CLOSE)


def test_the_noise_is_normal(page):
    values = page.evaluate(
        """() => {
            const draw = Toy.normals(STN.random(7));
            return Array.from({ length: 20000 }, draw);
        }"""
    )
    assert np.mean(values) == pytest.approx(0, abs=0.03)
    assert np.std(values) == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(values) < 1.96) == pytest.approx(0.95, abs=0.01)


def put(page, name, value):
    page.get_by_label(name, exact=True).fill(str(value))


def pick(page, group, text):
    legend = page.locator("fieldset", has=page.locator("legend", has_text=group))
    legend.get_by_label(text, exact=True).check(force=True)


def end_of_descent(border, sampler, theta):
    """Where steps of 0.01 against the gradient lead, all places at once."""
    theta = np.array(theta, float)
    for _ in range(1200):
        g = reported(border, sampler, theta)
        theta -= 0.01 * g / np.maximum(np.linalg.norm(g, axis=-1, keepdims=True), 1e-9)
    s, t = np.abs(theta).T
    edge, point = t > 0.97 * (1 + s), np.hypot(s, t - 0.5) < 0.05
    return np.select(
        [edge, point, np.hypot(s - 1, t) < 0.05], ["edge", "point", "identity"], "elsewhere"
    )


@pytest.mark.slow
@pytest.mark.parametrize("border", [0, 0.5])
@pytest.mark.parametrize("sampler", ["correct", "clipped"])
def test_the_ridge_parts_the_identity_from_what_else_descent_leads_to(page, border, sampler):
    for s in (0.3, 0.8, 1, 1.8, 2.6):
        ridge = page.evaluate("(at) => Toy.ridge(...at)", [border, sampler, s])
        inside = np.linspace(0.02, (ridge or 0.97 * (1 + s)) - 0.02, 12)
        places = [(s, t) for t in inside]
        assert set(end_of_descent(border, sampler, places)) == {"identity"}
        assert (ridge is None) == (border == 0.5 and sampler == "correct" and s > 0.5)
        if ridge:
            found = page.evaluate("(at) => Toy.leads(...at)", [border, sampler, s, ridge + 0.05])
            assert found in ("point", "edge")
            assert end_of_descent(border, sampler, [(s, ridge + 0.05)]) == [found]


def check_readings(found):
    image, theta = toy.cone(found["border"]), found["start"]
    assert found["loss"] == pytest.approx(toy.loss(image, theta, image), abs=1e-5)
    wanted = reported(found["border"], found["sampler"], np.array(theta))
    assert found["gradient"] == pytest.approx(wanted, abs=1e-5)
    assert found["edge"] == 1 + abs(theta[0])


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("dark", (1.2, 0.5), "identity"),
        ("dark", (1.5, 2.0), "edge"),
        ("bright", (1.5, 2.0), "identity"),
        ("dark", (1, 3), "nowhere"),
    ],
)
def test_where_descent_leads_is_where_adam_without_noise_ends(page, text, start, end):
    """The places of the page, and one out of sight."""
    pick(page, "Border", text)
    put(page, "scale s", start[0])
    put(page, "shift t", start[1])
    found = state(page)
    assert found["leads"] == end
    check_readings(found)
    *_, (s, t) = walks.adam(lambda x: reported(found["border"], "correct", x), start, 0.02, 1500)
    assert (np.hypot(abs(s) - 1, t) < 0.06) == (end == "identity")
    assert (abs(t) > 0.98 * (1 + abs(s))) == (end in ("edge", "nowhere"))


def release(page):
    page.get_by_role("button", name="Release").click()
    page.wait_for_function(f"{STATE}.running === false", timeout=60_000)
    return state(page)


def test_inside_the_basin_a_walker_comes_home_and_beyond_the_ridge_it_leaves(page):
    pick(page, "Noise", "none")
    put(page, "rate", -1.5)
    put(page, "shift t", 0.6)
    (inside,) = release(page)["walkers"]
    assert inside["out"] is None and inside["place"] == pytest.approx([1, 0], abs=0.1)
    put(page, "scale s", 2)
    put(page, "shift t", 2.2)
    found = state(page)
    assert found["start"][1] > found["ridge"]
    (beyond,) = release(page)["walkers"]
    assert beyond["out"] > 1


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_without_noise_no_walker_leaves_the_basin(page, rate):
    options = dict(border=0, sampler="correct", method="adam", rate=rate, noise=0)
    for start in ((1, 0.6), (1, 0.9), (2, 1.5), (2.5, 0.5)):
        *_, (s, t, out) = page.evaluate(WALK, [options | {"start": start}, 3000, []])
        assert out is None and (abs(s), t) == pytest.approx((1, 0), abs=0.05)


def test_with_noise_twenty_leave_and_later_at_a_smaller_rate(page):
    def half(power):
        put(page, "rate", power)
        found = release(page)
        assert len(found["walkers"]) == 20
        return np.median([walker["out"] or np.inf for walker in found["walkers"]])

    assert half(-0.3) < half(-0.7) / 2
    assert len(state(page)["times"]) == 40
    page.get_by_role("button", name="Forget").click()
    assert state(page)["times"] == []


def test_the_start_is_dragged_and_moves_by_the_arrow_keys(page):
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    at = lambda s, t: (  # noqa: E731
        box["x"] + (s + 1.2) / 4.6 * box["width"],
        box["y"] + (4.2 - t) / 8.4 * box["height"],
    )
    page.mouse.move(*at(1, 0))
    page.mouse.down()
    page.mouse.move(*at(2, 1.5), steps=4)
    page.mouse.up()
    page.mouse.move(*at(0, 0))
    assert state(page)["start"] == pytest.approx([2, 1.5], abs=0.04)
    before = state(page)["start"]
    canvas.focus()
    for press in ("ArrowLeft", "Shift+ArrowUp"):
        page.keyboard.press(press)
    assert state(page)["start"] == pytest.approx([before[0] - 0.02, before[1] + 0.2], abs=0.001)
    check_readings(state(page))


def test_the_button_stops_walkers_that_are_shown_step_by_step(show):
    page = show("landscape", motion="no-preference")
    put(page, "rate", -2.5)
    page.get_by_role("button", name="Release").click()
    page.wait_for_function(f"{STATE}.done > 10")
    page.get_by_role("button", name="Stop").click()
    done = state(page)["done"]
    page.wait_for_timeout(300)
    assert state(page)["done"] == done and not state(page)["running"]


def test_nothing_walks_while_the_figure_is_off_screen(show):
    page = show("landscape", motion="no-preference")
    put(page, "rate", -2.5)
    page.get_by_role("button", name="Release").click()
    page.wait_for_function(f"{STATE}.done > 5")
    page.evaluate("document.querySelector('figure.interactive').style.marginTop = '5000px'")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function(f"{STATE}.waiting")
    done = state(page)["done"]
    page.wait_for_timeout(400)
    assert state(page)["done"] == done and not state(page)["running"]
    page.locator(".stn-stage").scroll_into_view_if_needed()
    page.wait_for_function(f"{STATE}.done > {done}")
