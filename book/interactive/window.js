// Drag the window: what θ does, and which family of transforms can undo which warp.

"use strict";

Widget.figure("window", (stage, { digits }) => {
  const SIDE = 40, HALF = (SIDE - 1) / 2, VIEW = 1.7; // the canvas shows [-VIEW, VIEW]
  const spline = STN.spline(4, 4, SIDE, SIDE);
  const turnOf = (degrees) => [Math.cos, Math.sin].map((f) => f((degrees * Math.PI) / 180));

  // Each warp: where a point of the warped image was in the plain one, and back.
  const matrix = (m, inverse) => [(x, y) => STN.apply(m, x, y), (x, y) => STN.apply(inverse, x, y)];
  const [cos, sin] = turnOf(35);
  const WARPS = {
    none: matrix([1, 0, 0, 0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0, 0, 1]),
    shift: matrix([1, 0, 0.4, 0, 1, -0.3, 0, 0, 1], [1, 0, -0.4, 0, 1, 0.3, 0, 0, 1]),
    zoom: matrix([2, 0, 0, 0, 2, 0, 0, 0, 1], [0.5, 0, 0, 0, 0.5, 0, 0, 0, 1]),
    turn: matrix([cos, -sin, 0, sin, cos, 0, 0, 0, 1], [cos, sin, 0, -sin, cos, 0, 0, 0, 1]),
    shear: matrix([1, 0.5, 0, 0, 1.25, 0, 0, 0, 1], [1, -0.4, 0, 0, 0.8, 0, 0, 0, 1]),
    mirror: matrix([-1, 0, 0, 0, 1, 0, 0, 0, 1], [-1, 0, 0, 0, 1, 0, 0, 0, 1]),
    bend: [
      (x, y) => [x + 0.25 * Math.sin(Math.PI * y), y],
      (x, y) => [x - 0.25 * Math.sin(Math.PI * y), y],
    ],
  };

  // How many of the sliders below each family has, and what each of its parameters moves.
  const FAMILIES = {
    translation: { text: "shift", sliders: 2, basis: [() => [1, 0], () => [0, 1]] },
    attention: { text: "+ scale", sliders: 3, basis: [(x, y) => [x, y], () => [1, 0], () => [0, 1]] },
    similarity: {
      text: "+ turn", sliders: 4,
      basis: [(x, y) => [x, y], (x, y) => [-y, x], () => [1, 0], () => [0, 1]],
    },
    affine: {
      text: "affine", sliders: 6,
      basis: [
        (x) => [x, 0], (x, y) => [y, 0], () => [1, 0], (x) => [0, x], (x, y) => [0, y], () => [0, 1],
      ],
    },
    tps: { text: "spline", sliders: 0 },
  };
  const NEUTRAL = [0, 0, 1, 0, 1, 0];

  let family = "similarity", warp = "none", digit = 3, theta, grid, point = 5, image;

  // ------------------------------------------------------------------- from sliders to θ

  /** θ of the sliders: shift x, shift y, scale, turn in degrees, stretch of y, shear. */
  function fromSliders([x, y, scale, degrees, stretch, shear]) {
    const [c, s] = turnOf(degrees), down = scale * stretch;
    const affine = [
      scale * c, down * (shear * c - s), x,
      scale * s, down * (shear * s + c), y,
    ];
    if (family === "translation") return [x, y];
    if (family === "attention") return [scale, x, y];
    return family === "similarity" ? [affine[0], affine[3], x, y] : affine;
  }

  /** The sliders of θ, the other way round. */
  function toSliders() {
    const m = STN.MATRICES[family](theta), scale = Math.hypot(m[0], m[3]) || 1e-9;
    const down = (m[0] * m[4] - m[1] * m[3]) / scale;
    const shear = down ? (m[0] * m[1] + m[3] * m[4]) / scale / down : 0;
    const degrees = (Math.atan2(m[3], m[0]) * 180) / Math.PI;
    return [m[2], m[5], scale, degrees, down / scale, shear];
  }

  /** θ of the family whose points come nearest to where the warp is undone: least squares. */
  function best() {
    const lines = [], wanted = [];
    for (let k = 0; k < SIDE * SIDE; k += 7) {
      const x = base[2 * k], y = base[2 * k + 1], target = WARPS[warp][1](x, y);
      const rows = influence(k, x, y);
      for (const axis of [0, 1]) {
        lines.push(rows.map((move) => move[axis]));
        wanted.push(target[axis] - fixed(x, y)[axis]);
      }
    }
    const normal = lines[0].map((_, i) =>
      lines[0].map((_, j) => lines.reduce((sum, row) => sum + row[i] * row[j], 0)));
    const right = lines[0].map((_, i) => [lines.reduce((s, row, n) => s + row[i] * wanted[n], 0)]);
    return STN.solve(normal, right).map(([value]) => value);
  }
  const base = STN.affineGrid(STN.IDENTITY, SIDE, SIDE);
  const fixed = (x, y) => (["translation", "tps"].includes(family) ? [x, y] : [0, 0]);
  function influence(k, x, y) {
    if (family !== "tps") return FAMILIES[family].basis.map((move) => move(x, y));
    return Array.from(spline.influence.subarray(k * 16, k * 16 + 16)).flatMap((part) =>
      [[part, 0], [0, part]]);
  }

  /** Distance of the grid's points from where the warp is undone, in pixels: root mean square. */
  function distance() {
    let sum = 0;
    for (let k = 0; k < SIDE * SIDE; k++) {
      const [x, y] = WARPS[warp][1](base[2 * k], base[2 * k + 1]);
      sum += (grid[2 * k] - x) ** 2 + (grid[2 * k + 1] - y) ** 2;
    }
    return HALF * Math.sqrt(sum / (SIDE * SIDE));
  }

  // --------------------------------------------------------------------------- pictures

  const output = new Float64Array(SIDE * SIDE);

  /** The digit, three times as large, in the middle of the image; then warped. */
  function makeImage() {
    const place = new Float64Array(base.length);
    for (let k = 0; k < SIDE * SIDE; k++) {
      const [x, y] = WARPS[warp][0](base[2 * k], base[2 * k + 1]);
      [place[2 * k], place[2 * k + 1]] = [1.7 * x, 1.7 * y];
    }
    image = STN.bilinear(digits[digit].map((v) => v / 16), 8, 8, place, new Float64Array(SIDE ** 2));
  }

  const input = Widget.canvas({
    label: "", ratio: 1, focus: true,
    paint(context, width, height, colour) {
      const to = (v) => ((v + VIEW) / (2 * VIEW)) * width, size = to(1 + 1 / HALF / 2) - to(-1 - 1 / HALF / 2);
      context.fillStyle = colour.card;
      context.fillRect(0, 0, width, height);
      Widget.picture(context, image, SIDE, SIDE, to(-1 - 1 / HALF / 2), to(-1 - 1 / HALF / 2), size);
      const at = (i, j) => [0, 1].map((a) => to(grid[2 * (i * SIDE + j) + a]));
      const lines = [0, 13, 26, SIDE - 1];
      for (const n of lines) {
        const edge = n === 0 || n === SIDE - 1, options = { width: edge ? 3 : 1 };
        const all = Array.from({ length: SIDE }, (_, k) => k);
        Widget.line(context, all.map((k) => at(n, k)), colour.orange, options);
        Widget.line(context, all.map((k) => at(k, n)), colour.orange, options);
      }
      Widget.text(context, "top", ...at(0, SIDE >> 1).map((v, i) => v - 9 * i), colour.orange, "center");
      const marks = family === "tps" ? controlPoints() : [corner()];
      marks.forEach(([x, y], k) => {
        const chosen = family !== "tps" || k === point;
        Widget.dot(context, to(x), to(y), chosen ? 8 : 4, colour.orange, chosen && colour.ground);
      });
    },
  });
  const result = Widget.canvas({
    label: "", ratio: 1,
    paint: (context, width) => Widget.picture(context, output, SIDE, SIDE, 0, 0, width),
  });
  const corner = () => [grid.at(-2), grid.at(-1)];
  const controlPoints = () => Array.from({ length: 16 }, (_, k) =>
    [spline.control[2 * k] + theta[2 * k], spline.control[2 * k + 1] + theta[2 * k + 1]]);

  // --------------------------------------------------------------------------- controls

  const set = () => update(fromSliders(sliders.map((slider) => slider.value)));
  const show = (digits) => (value) => value.toFixed(digits);
  const sliders = [
    ["shift x", -2.5, 2.5, 0.02, show(2)], ["shift y", -2.5, 2.5, 0.02, show(2)],
    ["scale", 0.02, 2.5, 0.02, show(2)], ["turn", -180, 180, 1, (v) => `${v}°`],
    ["stretch", -2.5, 2.5, 0.02, show(2)], ["shear", -1.5, 1.5, 0.02, show(2)],
  ].map(([label, min, max, step, text], k) =>
    Widget.slider({ label, min, max, step, value: NEUTRAL[k], show: text, change: set }));
  const which = Widget.slider({
    label: "point", min: 1, max: 16, step: 1, value: point + 1,
    change: (value) => ((point = value - 1), update(theta)),
  });
  const families = Widget.choice({
    label: "Family", value: family,
    options: Object.entries(FAMILIES).map(([name, { text }]) => [name, text]),
    change: (name) => ((family = name), reset()),
  });
  const warps = Widget.choice({
    label: "Image", value: warp, options: Object.keys(WARPS).map((name) => [name, name]),
    change: (name) => ((warp = name), makeImage(), update(theta)),
  });
  const shown = Widget.list({
    label: "Digit", value: digit, options: digits.map((_, k) => [k, String(k)]),
    change: (value) => ((digit = Number(value)), makeImage(), update(theta)),
  });
  const told = Widget.live();

  function reset() {
    const neutral = family === "tps" ? new Array(32).fill(0) : fromSliders(NEUTRAL);
    update(neutral);
  }

  function update(next) {
    theta = next;
    grid = family === "tps" ? spline.grid(theta)
      : STN.matrixGrid(STN.MATRICES[family](theta), SIDE, SIDE);
    STN.bilinear(image, SIDE, SIDE, grid, output);
    const values = family === "tps" ? NEUTRAL : toSliders();
    sliders.forEach((slider, k) => {
      slider.node.hidden = k >= FAMILIES[family].sliders;
      slider.set(values[k]);
    });
    which.node.hidden = family !== "tps";
    which.set(point + 1);
    const numbers = (family === "tps" ? theta.slice(2 * point, 2 * point + 2) : theta)
      .map((value) => value.toFixed(2)).join("  ");
    const what = family === "tps" ? `θ of point ${point + 1}: ${numbers}` : `θ = ${numbers}`;
    const inside = `${Math.round(100 * STN.gridCoverage(grid))} % of the output lies on the image`;
    const left = `${distance().toFixed(1)} pixels from undoing the warp`;
    told.say(`${what} · ${inside} · ${left}`);
    input.describe(`The image and the window on it. Arrow keys move it. ${what}.`);
    result.describe(`What the transformer hands on. ${inside}.`);
    input.redraw();
    result.redraw();
  }

  /** Move the window, or the chosen point of a spline, by so much. */
  function moveBy(dx, dy) {
    const next = [...theta];
    const [x, y] = family === "tps" ? [2 * point, 2 * point + 1]
      : family === "affine" ? [2, 5] : [next.length - 2, next.length - 1];
    next[x] += dx;
    next[y] += dy;
    update(next);
  }

  /** Turn and scale so that the window's lower right corner comes to a point. */
  function pull(x, y) {
    const [tx, ty, , , stretch, shear] = toSliders();
    const rest = [1 + stretch * shear, stretch];
    const angle = Math.atan2(y - ty, x - tx) - Math.atan2(rest[1], rest[0]);
    const scale = Math.hypot(x - tx, y - ty) / Math.hypot(...rest);
    const turned = FAMILIES[family].sliders > 3 ? (angle * 180) / Math.PI : 0;
    update(fromSliders([tx, ty, Math.max(scale, 0.02), turned, stretch, shear]));
  }

  let grip = null, last;
  Widget.drag(input.node, {
    move(px, py, first) {
      const [x, y] = [px, py].map((v) => (v / input.node.clientWidth) * 2 * VIEW - VIEW);
      const near = ([u, v]) => Math.hypot(u - x, v - y);
      if (first && family === "tps") {
        point = controlPoints().reduce((b, p, k, all) => (near(p) < near(all[b]) ? k : b), 0);
      } else if (first) {
        grip = FAMILIES[family].sliders > 2 && near(corner()) < 0.25 ? "corner" : "window";
      }
      if (!first && family !== "tps" && grip === "corner") pull(x, y);
      else if (!first) moveBy(x - last[0], y - last[1]);
      else update(theta);
      last = [x, y];
    },
    key: (dx, dy, event) => moveBy(...[dx, dy].map((d) => d * (event.shiftKey ? 0.2 : 0.02))),
  });

  const undo = Widget.button("Undo the warp as well as it can", () => update(best()));
  const panel = (title, canvas) => Widget.element("div", {}, title, canvas.node);
  stage.append(
    families.node,
    Widget.row(warps.node, shown.node),
    Widget.panels(panel("Image and window", input), panel("Output", result)),
    Widget.sliders(...sliders.map((slider) => slider.node), which.node),
    Widget.row(undo, Widget.button("Reset", reset)),
    told.node,
  );
  makeImage();
  reset();

  return {
    state: () => ({
      family, warp, point, theta: [...theta], grid: [...grid], image: [...image],
      output: [...output], coverage: STN.gridCoverage(grid), distance: distance(),
    }),
  };
});
