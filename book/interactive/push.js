// Push or no push: does a sampler feel that its view leaves the image?
//
// One dimension, as in the chapter: a signal on [-1, 1] and a view that zooms by s. The loss is the
// squared distance of the view from the signal itself, so that s = 1 is the answer.

"use strict";

Widget.figure("push", (stage) => {
  const PIXELS = 64, POINTS = 1024, LOW = 0.6, HIGH = 2.2, NEAR = 0.01;
  const X = Float64Array.from({ length: POINTS }, (_, k) => (2 * k) / (POINTS - 1) - 1);
  const bright = (u) => 0.65 + 0.25 * Math.cos(3 * Math.PI * u + 0.6);
  const SIGNALS = {
    bright: (row) => row,
    framed: (row) => row.map((value, k) => (k === 0 || k === PIXELS - 1 ? 0 : value)),
    black: (row) => row.map((v, k) => v * Math.cos((Math.PI * ((2 * k) / (PIXELS - 1) - 1)) / 2) ** 2),
  };
  const plain = Float64Array.from({ length: PIXELS }, (_, k) => bright((2 * k) / (PIXELS - 1) - 1));
  let border = "bright", sampler = "bilinear", s = 2, trail = [], curve, signal, target;
  const grid = new Float64Array(2 * POINTS), view = new Float64Array(POINTS);
  const dx = new Float64Array(POINTS), dy = new Float64Array(POINTS);

  /** Read the signal at scale X: values in `view`, slopes in `dx`. */
  function read(scale, method) {
    for (let k = 0; k < POINTS; k++) grid[2 * k] = scale * X[k]; // along the middle row of three
    STN.SAMPLERS[method](signal, 3, PIXELS, grid, view, dx, dy);
  }

  /** Loss at a scale, and the gradient that the sampler reports. */
  function loss(scale) {
    read(scale, sampler);
    let sum = 0, slope = 0;
    for (let k = 0; k < POINTS; k++) {
      const off = view[k] - target[k];
      sum += off * off;
      slope += 2 * off * dx[k] * X[k];
    }
    return [(2 * sum) / POINTS, (2 * slope) / POINTS];
  }

  /** How the loss itself changes with the scale, from two values of it. */
  const change = (scale) => (loss(scale + NEAR)[0] - loss(scale - NEAR)[0]) / (2 * NEAR);

  function prepare() {
    const row = SIGNALS[border](plain);
    signal = [...row, ...row, ...row];
    target = new Float64Array(POINTS);
    read(1, "bilinear");
    target.set(view);
    curve = Array.from({ length: 161 }, (_, k) => {
      const scale = LOW + ((HIGH - LOW) * k) / 160, [value, reported] = loss(scale);
      return { scale, value, reported, real: change(scale) };
    });
  }

  // ------------------------------------------------------------------------------ pictures

  const across = (width) => (scale) => 8 + ((scale - LOW) / (HIGH - LOW)) * (width - 16);
  const shown = Widget.canvas({
    label: "", ratio: (width) => (width < 500 ? 0.5 : 0.22),
    paint(context, width, height, colour) {
      const x = (u) => ((u + 1) / 2) * (width - 16) + 8, y = (v) => height - 10 - v * (height - 34);
      read(s, sampler);
      Widget.line(context, Array.from(X, (u, k) => [x(u), y(target[k])]), colour.muted, { dash: [5, 4] });
      Widget.line(context, Array.from(X, (u, k) => [x(u), y(view[k])]), colour.blue);
      Widget.text(context, "wanted", 8, 10, colour.muted);
      Widget.text(context, "what the view shows", width - 8, 10, colour.blue, "right");
    },
  });
  const losses = Widget.canvas({
    label: "", ratio: 0.8, focus: true,
    paint(context, width, height, colour) {
      const x = across(width), top = Math.max(...curve.map((each) => each.value));
      const y = (value) => height - 26 - (value / top) * (height - 52);
      Widget.line(context, curve.map((each) => [x(each.scale), y(each.value)]), colour.ink);
      Widget.line(context, [[x(1), 22], [x(1), height - 20]], colour.faint, { dash: [4, 4] });
      trail.forEach((scale) => Widget.dot(context, x(scale), height - 20, 2.5, colour.orange));
      Widget.dot(context, x(s), y(loss(s)[0]), 8, colour.orange, colour.ground);
      Widget.text(context, "loss", 8, 10, colour.ink);
      Widget.text(context, "zoomed in ← scale s → zoomed out", width / 2, height - 7, colour.muted, "center", 12);
    },
  });
  const slopes = Widget.canvas({
    label: "", ratio: 0.8,
    paint(context, width, height, colour) {
      const x = across(width), all = curve.filter((each) => each.scale > 1.03);
      const top = 1.15 * Math.max(...all.flatMap((each) => [each.real, each.reported].map(Math.abs)));
      const y = (v) => height / 2 - (Math.min(Math.max(v / top, -1), 1)) * (height / 2 - 26);
      Widget.line(context, [[8, y(0)], [width - 8, y(0)]], colour.faint, { width: 1 });
      Widget.line(context, curve.map((each) => [x(each.scale), y(each.real)]), colour.ink, { dash: [5, 4] });
      Widget.line(context, curve.map((each) => [x(each.scale), y(each.reported)]), colour.red);
      Widget.dot(context, x(s), y(loss(s)[1]), 8, colour.orange, colour.ground);
      Widget.text(context, "change of the loss", 8, 10, colour.ink);
      Widget.text(context, "reported", width - 8, 10, colour.red, "right");
      Widget.text(context, "above 0: pushes back in", width - 8, height - 24, colour.muted, "right", 12);
      Widget.text(context, "below 0: pushes further out", width - 8, height - 9, colour.muted, "right", 12);
    },
  });

  // ------------------------------------------------------------------------------ controls

  const borders = Widget.choice({
    label: "Border", value: border,
    options: [["bright", "bright"], ["framed", "bright, one black pixel"], ["black", "black"]],
    change: (value) => ((border = value), begin()),
  });
  const samplers = Widget.choice({
    label: "Sampler", value: sampler, options: [["bilinear", "correct"], ["clipped", "clipped"]],
    change: (value) => ((sampler = value), begin()),
  });
  const slider = Widget.slider({
    label: "scale s", min: LOW, max: HIGH, step: 0.01, value: s, show: (v) => v.toFixed(2),
    change: (value) => set(value),
  });
  const run = Widget.button("Descend", () => (timer ? stop() : start()));
  const told = Widget.live();
  let timer = 0;

  function set(scale) {
    stop();
    trail = [];
    s = scale;
    update();
  }
  function begin() {
    stop();
    trail = [];
    prepare();
    update();
  }
  function stop() {
    cancelAnimationFrame(timer);
    timer = 0;
    run.textContent = "Descend";
  }
  function start() {
    run.textContent = "Stop";
    let left = 300;
    const step = () => {
      if (Widget.visible(stage)) {
        trail.push(s);
        s = Math.min(Math.max(s - 0.02 * loss(s)[1], LOW), HIGH);
        update();
        left--;
      }
      if (!left || s === LOW || s === HIGH) stop();
      else timer = requestAnimationFrame(step);
    };
    timer = requestAnimationFrame(step);
  }
  Widget.watch(stage, () => {});

  function update() {
    slider.set(s);
    const [value, reported] = loss(s), real = change(s);
    const word = Math.abs(reported) < 0.02 ? "hardly pushes" : reported > 0 ? "pushes back in" : "pushes further out";
    const text = `s = ${s.toFixed(2)}: loss ${value.toFixed(3)}, its change ${real.toFixed(2)}, ` +
      `reported ${reported.toFixed(2)}: the sampler ${word}.`;
    told.say(text);
    shown.describe(`The signal that is wanted and what the view shows. ${text}`);
    losses.describe(`The loss over the scale. Arrow keys move the scale. ${text}`);
    slopes.describe(`The change of the loss, and what the sampler reports of it. ${text}`);
    for (const canvas of [shown, losses, slopes]) canvas.redraw();
  }

  Widget.drag(losses.node, {
    along: true,
    move: (px) => set(Math.min(Math.max(
      LOW + ((px - 8) / (losses.node.clientWidth - 16)) * (HIGH - LOW), LOW), HIGH)),
    key: (dx) => set(Math.min(Math.max(s + 0.01 * dx, LOW), HIGH)),
  });
  stage.append(Widget.row(borders.node, samplers.node), shown.node,
    Widget.panels(Widget.tall(losses.node), Widget.tall(slopes.node)), Widget.sliders(slider.node), run, told.node);
  begin();

  return {
    state: () => {
      const [value, reported] = loss(s);
      return { border, sampler, s, loss: value, reported, real: change(s), running: timer > 0 };
    },
  };
});
