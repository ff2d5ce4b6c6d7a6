// Reach: how far a step can move θ (σ) and its features (ρ), beside every recorded case.

"use strict";

Widget.figure("reach", (stage, { cases, networks }) => {
  const DATA = { CM: "circle", C10: "square", C10D: "triangle" };
  const RATES = [1e-4, 3e-4, 6e-4, 1e-3, 2e-3, 3e-3, 6e-3, 8e-3, 0.01, 0.02, 0.03];
  const FACTORS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100], EDGE = 0.04;
  const X = [1e-4, 0.5], Y = [0.03, 1000]; // the axes, logarithmic
  const sides = [...new Set(networks.map((each) => each.side))];
  const options = (name) => [...new Set(networks.map((each) => each[name]))].map((v) => [v, String(v)]);
  const ends = []; // the leftmost case of each row of marks, beside which its name stands
  for (const each of [...cases].sort((a, b) => a.sigma - b.sigma)) {
    if (!ends.some(({ data, hidden }) => data === each.data && hidden === each.hidden)) ends.push(each);
  }
  const above = new Map(), seen = {}; // how many have the same place, and lie below
  for (const each of cases) {
    const place = [each.data, each.sigma, each.rho];
    seen[place] = (seen[place] ?? 0) + 1;
    above.set(each, seen[place] - 1);
  }
  let side = 40, channels = 1, features = 50, rate = 0.003, factor = 1;

  /** The chosen network's σ, ρ and ‖φ‖₁, at the localisation network's rate. */
  function mine() {
    const found = networks.find((each) =>
      each.side === side && each.channels === channels && each.features === features);
    const own = rate * factor;
    return { own, sigma: own * found.sigma, rho: own * found.rho, size: found.sigma - 1 };
  }

  const same = (each) => each.rate === rate && each.factor === factor && each.hidden === 1;

  /** Of each data set how many were recorded at the chosen rates, and how many of them are lost. */
  function recorded() {
    return Object.fromEntries(Object.keys(DATA).map((data) => {
      const found = cases.filter((each) => each.data === data && same(each));
      return [data, [found.filter((each) => each.lost).length, found.length]];
    }));
  }

  // --------------------------------------------------------------------------------- plane

  const LEFT = 44, RIGHT = 10, TOP = 22, BOTTOM = 40;
  const share = (value, [low, high]) => Math.log(value / low) / Math.log(high / low);
  const toX = (width) => (sigma) => LEFT + share(sigma, X) * (width - LEFT - RIGHT);

  function mark(context, shape, x, y, r, colour, edge) {
    context.beginPath();
    if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
    else if (shape === "square") context.rect(x - r, y - r, 2 * r, 2 * r);
    else [[0, -1.3], [1.2, 0.9], [-1.2, 0.9]].forEach(([u, v]) => context.lineTo(x + r * u, y + r * v));
    context.closePath();
    context.fillStyle = colour;
    context.fill();
    context.strokeStyle = edge;
    context.lineWidth = 1.5;
    context.stroke();
  }

  const plane = Widget.canvas({
    label: "", ratio: (width) => (width < 500 ? 1.05 : 0.62), focus: true,
    paint(context, width, height, colour) {
      const x = toX(width), y = (rho) => height - BOTTOM - share(rho, Y) * (height - BOTTOM - TOP);
      for (const sigma of [1e-4, 1e-3, 1e-2, 1e-1]) {
        Widget.line(context, [[x(sigma), TOP], [x(sigma), height - BOTTOM]], colour.faint, { width: 1 });
        Widget.text(context, String(sigma), x(sigma), height - BOTTOM + 12, colour.muted, "center", 11);
      }
      for (const rho of [0.1, 1, 10, 100, 1000]) {
        Widget.line(context, [[LEFT, y(rho)], [width - RIGHT, y(rho)]], colour.faint, { width: 1 });
        Widget.text(context, String(rho), LEFT - 6, y(rho), colour.muted, "right", 11);
      }
      Widget.text(context, "ρ, what one step can change of ‖φ‖₁", 0, 8, colour.ink, "left", 12);
      const below = "σ, half image sides that one step can move θ";
      Widget.text(context, below, width - RIGHT, height - 10, colour.ink, "right", 12);
      Widget.line(context, [[x(EDGE), TOP], [x(EDGE), height - BOTTOM]], colour.muted, { width: 1, dash: [4, 4] });
      Widget.text(context, `σ = ${EDGE}`, x(EDGE) + 4, height - BOTTOM - 10, colour.muted, "left", 11);
      const radius = width < 500 ? 3.5 : 4.5;
      for (const each of cases) {
        const shade = colour[each.outcome === "at chance" ? "chance" : each.outcome];
        const edge = each.hidden !== 1 ? shade : same(each) ? colour.ink : colour.ground;
        const at = [x(each.sigma), y(each.rho) - 1.3 * radius * above.get(each)];
        mark(context, DATA[each.data], ...at, radius, each.hidden === 1 ? shade : colour.ground, edge);
      }
      for (const { data, hidden, sigma, rho } of ends) {
        if (hidden < 1) continue;
        const words = hidden === 1 ? data : `${data}, ρ × ${hidden}`;
        Widget.text(context, words, x(sigma) - 8, y(rho), colour.ink, "right", 12);
      }
      const { sigma, rho } = mine(), inside = ([low, high], v) => Math.min(Math.max(v, low), high);
      const [px, py] = [x(inside(X, sigma)), y(inside(Y, rho))];
      const along = (by) => [x(sigma * by), y(rho * by)];
      context.save();
      context.beginPath();
      context.rect(LEFT, TOP, width - LEFT - RIGHT, height - BOTTOM - TOP);
      context.clip();
      Widget.line(context, [along(1e-6), along(1e6)], colour.link, { width: 1.5, dash: [2, 4] });
      context.restore();
      for (const [shade, line] of [[colour.ground, 7], [colour.link, 3]]) {
        Widget.line(context, [[px - 12, py], [px + 12, py]], shade, { width: line });
        Widget.line(context, [[px, py - 12], [px, py + 12]], shade, { width: line });
      }
      Widget.text(context, "yours", px - 8, py - 18, colour.link, "right", 12);
    },
  });

  // ------------------------------------------------------------------------------ controls

  const canvas = Widget.slider({
    label: "Canvas", min: 0, max: sides.length - 1, step: 1, value: sides.indexOf(side),
    show: (k) => `${sides[k]} × ${sides[k]}`, change: (k) => ((side = sides[k]), update()),
  });
  const rates = Widget.slider({
    label: "Rate", min: 0, max: RATES.length - 1, step: 1, value: RATES.indexOf(rate),
    show: (k) => String(RATES[k]), change: (k) => ((rate = RATES[k]), update()),
  });
  const factors = Widget.slider({
    label: "Localisation network ×", min: 0, max: FACTORS.length - 1, step: 1,
    value: FACTORS.indexOf(factor), show: (k) => String(FACTORS[k]),
    change: (k) => ((factor = FACTORS[k]), update()),
  });
  const colours = Widget.choice({
    label: "Channels", value: channels, options: options("channels"),
    change: (value) => ((channels = value), update()),
  });
  const wide = Widget.choice({
    label: "Features", value: features, options: options("features"),
    change: (value) => ((features = value), update()),
  });
  const key = Widget.element("p", { className: "stn-note" });
  for (const outcome of ["looks", "idle", "shrunken", "blind", "black", "at chance"]) {
    const dot = Widget.element("span", { className: "stn-mark" });
    dot.style.background = `var(--stn-${outcome === "at chance" ? "chance" : outcome})`;
    key.append(Widget.element("span", { style: "white-space: nowrap" }, dot, outcome), " ");
  }
  const told = Widget.live();
  const short = (value) => Number(value.toPrecision(2));

  function update() {
    const { own, sigma, rho, size } = mine();
    const lost = Object.entries(recorded()).map(([data, [k, n]]) =>
      `${data} ${n ? `${k} of ${n}` : "none made"}`);
    const text = `${side} × ${side} pixels, ${channels === 1 ? "1 channel" : `${channels} channels`}, ` +
      `${features} features: ‖φ‖₁ begins at ${size.toFixed(1)}. With the localisation network at ` +
      `${short(own)} one step can move θ by σ = ${short(sigma)} and change ‖φ‖₁ by ρ = ${short(rho)}, ` +
      `${short(rho / size)} times itself. Recorded at these two rates, lost: ${lost.join(", ")}.`;
    told.say(text);
    plane.describe("A mark a recorded training, σ to the right and ρ upwards, in the colour of its " +
      `outcome. Arrow keys move the rate. ${text}`);
    plane.redraw();
  }

  function go(to) {
    rates.set(Math.min(Math.max(to, 0), RATES.length - 1));
    rate = RATES[rates.value];
    update();
  }

  Widget.drag(plane.node, {
    along: true,
    move(px) {
      const x = toX(plane.node.clientWidth), one = mine().sigma / rate;
      const far = (k) => Math.abs(x(RATES[k] * one) - px);
      go(RATES.reduce((best, _, k) => (far(k) < far(best) ? k : best), 0));
    },
    key: (dx, dy) => go(rates.value + (dx || -dy)),
  });
  stage.append(
    Widget.sliders(canvas.node, rates.node, factors.node), Widget.row(colours.node, wide.node),
    plane.node, Widget.element("p", { className: "stn-note" },
      "A circle is a training on CM, a square on C10, a triangle on C10D; hollow where ρ alone was " +
      "changed. Marks of one place are stacked upwards. An outline marks your two rates."),
    key, told.node,
  );
  update();

  return {
    state: () => ({ side, channels, features, rate, factor, ...mine(), recorded: recorded(), cases }),
  };
});
