// When it pays: digits scattered ever more strongly, what networks see of them, and what they win.

"use strict";

Widget.figure("when-it-pays", (stage, { digits, strengths, trainings }) => {
  const DIGIT = 28, CANVAS = 2 * DIGIT, FEW = 5;
  const NETWORKS = [
    ["oracle", "oracle", "green"], ["stn", "transformer", "blue"],
    ["baseline", "no transformer", "grey"],
  ];
  const PARTS = [["shift", "red"], ["size", "purple"], ["rotation", "brown"]];
  let at = 3, first = 0, shown = "accuracy", pictures;

  // ------------------------------------------------------------------------------ pictures

  /** The affine θ that takes back what another one does. */
  function inverse([a, b, tx, c, d, ty]) {
    const area = a * d - b * c, [p, q, r, s] = [d / area, -b / area, -c / area, a / area];
    return [p, q, -p * tx - q * ty, r, s, -r * tx - s * ty];
  }

  const sampled = (image, from, theta, to) =>
    STN.bilinear(image, from, from, STN.affineGrid(theta, to, to), new Float64Array(to * to));

  /** A digit on its canvas, what the transformer hands on, and what the oracle is given. */
  function look(digit) {
    const { truth, theta } = strengths[at], zoom = (DIGIT - 1) / (CANVAS - 1);
    const back = inverse(truth[digit]).map((v) => (v * (CANVAS - 1)) / (DIGIT - 1));
    const canvas = sampled(digits[digit], DIGIT, back, CANVAS).map((v) => Math.round(v) / 255);
    const upright = truth[digit].map((v, k) => (k % 3 < 2 ? v * zoom : v));
    return {
      canvas, theta: theta[digit], truth: upright,
      view: sampled(canvas, CANVAS, theta[digit], DIGIT),
      oracle: sampled(canvas, CANVAS, upright, DIGIT),
    };
  }

  const GAP = 8, LABEL = 20;
  const images = Widget.canvas({
    label: "", ratio: (width) => (3 * ((width + GAP) / FEW - GAP + LABEL + 4)) / width,
    paint(context, width, height, colour) {
      const size = (width + GAP) / FEW - GAP;
      const rows = [["the canvas"], ["what the transformer hands on", "blue"],
        ["what the oracle is given", "green"]];
      rows.forEach(([name, shade], row) => {
        const top = row * (size + LABEL + 4) + LABEL;
        if (shade) Widget.dot(context, 5, top - LABEL / 2, 5, colour[shade]);
        Widget.text(context, name, shade ? 15 : 0, top - LABEL / 2, colour.ink, "left", 12);
        pictures.forEach(({ canvas, view, oracle, theta, truth }, k) => {
          const left = k * (size + GAP), side = row ? DIGIT : CANVAS;
          Widget.picture(context, [canvas, view, oracle][row], side, side, left, top, size);
          if (row) return;
          context.save();
          context.beginPath();
          context.rect(left, top, size, size);
          context.clip();
          for (const [each, edge] of [[truth, "green"], [theta, "blue"]]) {
            const corners = STN.corners(each).map(([x, y]) =>
              [left + ((x + 1) / 2) * size, top + ((y + 1) / 2) * size]);
            Widget.line(context, corners, colour[edge], { close: true });
          }
          context.restore();
        });
      });
    },
  });

  // ---------------------------------------------------------------------------------- dots

  const of = (network, strength) =>
    trainings.filter((each) => each.network === network && each.strength === strength);

  /** Lines of dots: [name, colour, points of strength and value]. */
  function lines() {
    if (shown === "accuracy") {
      return NETWORKS.map(([network, name, shade]) => [name, shade, trainings
        .filter((each) => each.network === network)
        .map((each) => [each.strength, each.accuracy])]);
    }
    return PARTS.map(([name, shade], k) => [name, shade, trainings
      .filter((each) => each.undone)
      .map((each) => [each.strength, each.undone[k]])]);
  }

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const LEFT = 48, RIGHT = 14, TOP = 36, BOTTOM = 40;
  const toX = (width) => (strength) => LEFT + strength * (width - LEFT - RIGHT);

  const dots = Widget.canvas({
    label: "", ratio: 0.92, focus: true,
    paint(context, width, height, colour) {
      const accuracy = shown === "accuracy", x = toX(width), [low, high] = accuracy ? [0.86, 1] : [-0.1, 1.1];
      const y = (value) => height - BOTTOM - ((value - low) / (high - low)) * (height - BOTTOM - TOP);
      const chosen = strengths[at].strength;
      Widget.line(context, [[x(chosen), TOP], [x(chosen), height - BOTTOM]], colour.card, { width: 18 });
      for (const v of accuracy ? [0.9, 0.95, 1] : [0, 0.5, 1]) {
        Widget.line(context, [[LEFT - 8, y(v)], [width, y(v)]], colour.faint, { width: 1 });
        Widget.text(context, v === 1 ? "1" : String(v), LEFT - 12, y(v), colour.muted, "right", 11);
      }
      const about = accuracy ? "test accuracy" : "share that the transformer undoes";
      Widget.text(context, about, 0, 8, colour.ink, "left", 12);
      strengths.forEach(({ strength }, k) => {
        const shade = strength === chosen ? colour.ink : colour.muted, n = of("stn", strength).length;
        Widget.text(context, String(strength), x(strength), height - BOTTOM + 12, shade, "center", 11);
        Widget.text(context, k ? String(n) : `n = ${n}`, x(strength), 24, shade, "center", 11);
      });
      Widget.text(context, "strength", x(0.5), height - 10, colour.muted, "center", 11);
      for (const [name, shade, points] of lines()) {
        const means = strengths.map(({ strength }) =>
          [x(strength), y(mean(points.filter(([s]) => s === strength).map(([, v]) => v)))]);
        Widget.line(context, means.filter(([, value]) => !Number.isNaN(value)), colour[shade]);
        for (const [s, v] of points) {
          Widget.dot(context, x(s), y(v), s === chosen ? 6 : 4, colour[shade], s === chosen && colour.ink);
        }
      }
    },
  });

  // ------------------------------------------------------------------------------ controls

  const slider = Widget.slider({
    label: "Strength", min: 0, max: strengths.length - 1, step: 1, value: at,
    show: (k) => String(strengths[k].strength), change: (value) => ((at = value), update()),
  });
  const which = Widget.choice({
    label: "Digits", value: first, options: [[0, "0 to 4"], [FEW, "5 to 9"]],
    change: (value) => ((first = value), update()),
  });
  const measure = Widget.choice({
    label: "Dots", value: shown, options: [["accuracy", "accuracy"], ["undone", "what is undone"]],
    change: (value) => ((shown = value), update()),
  });
  const key = Widget.element("p", { className: "stn-note" });
  const told = Widget.live();

  function words() {
    const { strength } = strengths[at], found = of("stn", strength);
    const [oracle, stn, none] = NETWORKS.map(([network]) =>
      mean(of(network, strength).map((each) => each.accuracy)).toFixed(3));
    const undone = found.map((each) => each.undone).filter(Boolean);
    const shares = PARTS.map(([name], k) =>
      `${Math.round(100 * mean(undone.map((each) => each[k])))} % of the ${name}`);
    const done = undone.length ? `The transformer undoes ${shares.join(", ")}.` : "There is nothing to undo.";
    return `Strength ${strength}: test accuracy ${oracle} for the oracle, ${stn} with a ` +
      `transformer, ${none} without (means of ${found.length} trainings each). ${done}`;
  }

  function update() {
    slider.set(at);
    pictures = Array.from({ length: FEW }, (_, k) => look(first + k));
    key.replaceChildren("At strength 1, from the top: ", ...lines().flatMap(([name, shade]) => {
      const mark = Widget.element("span", { className: "stn-mark" });
      mark.style.background = `var(--stn-${shade})`;
      return [Widget.element("span", { style: "white-space: nowrap" }, mark, name), " "];
    }));
    const text = words();
    told.say(text);
    images.describe("Five digits, each on its canvas with the outlines of both views, below as the " +
      `transformer hands it on, and below that as the oracle is given it. ${text}`);
    dots.describe(`A dot a training against the strength, lines through the means. Arrow keys choose a strength. ${text}`);
    images.redraw();
    dots.redraw();
  }

  function go(to) {
    at = Math.min(Math.max(to, 0), strengths.length - 1);
    update();
  }

  Widget.drag(dots.node, {
    along: true,
    move(px) {
      const x = toX(dots.node.clientWidth), far = (k) => Math.abs(x(strengths[k].strength) - px);
      go(strengths.reduce((best, _, k) => (far(k) < far(best) ? k : best), 0));
    },
    key: (dx) => go(at + dx),
  });
  stage.append(
    Widget.sliders(slider.node), Widget.row(which.node, measure.node),
    Widget.panels(Widget.tall(images.node), Widget.tall(dots.node, key)), told.node,
  );
  update();

  return {
    state: () => ({
      strength: strengths[at].strength, first, shown, lines: lines(),
      pictures: pictures.map((each) =>
        Object.fromEntries(Object.entries(each).map(([name, values]) => [name, [...values]]))),
    }),
  };
});
