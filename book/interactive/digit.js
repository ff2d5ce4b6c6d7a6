// Your digit: a recorded, trained localisation network looks at what you draw or drag.

"use strict";

Widget.figure("digit", (stage, { digits, layers: packed }) => {
  const SIDE = 40, HALF = (SIDE - 1) / 2, VIEW = 1.6;
  const layers = packed.map(({ weight, bias, ...layer }) =>
    (weight ? { ...layer, weight: Widget.halves(weight), bias: Widget.halves(bias) } : layer));
  const grey = digits.map((digit) => digit.map((value) => value / 16));
  const base = STN.affineGrid(STN.IDENTITY, SIDE, SIDE);
  const drawn = new Float64Array(SIDE * SIDE), output = new Float64Array(SIDE * SIDE);
  let which = 3, x = 0.3, y = -0.25, size = 22, angle = 0, clutter = 5, seed = 1, drawing = false;
  let image, theta;

  /** A digit of so many pixels, turned, its middle at (x, y), added to an image. */
  function put(into, digit, atX, atY, pixels, degrees, keep = () => true) {
    const turn = (degrees * Math.PI) / 180, c = Math.cos(turn), s = Math.sin(turn);
    const place = new Float64Array(base.length), factor = (SIDE - 1) / pixels;
    for (let k = 0; k < SIDE * SIDE; k++) {
      const u = base[2 * k] - atX, v = base[2 * k + 1] - atY;
      place[2 * k] = factor * (c * u + s * v);
      place[2 * k + 1] = factor * (c * v - s * u);
    }
    const values = STN.bilinear(grey[digit], 8, 8, place, new Float64Array(SIDE * SIDE));
    values.forEach((value, k) => {
      if (keep(base[2 * k], base[2 * k + 1])) into[k] = Math.min(1, into[k] + value);
    });
  }

  function makeImage() {
    image = drawn.slice();
    const draw = STN.random(seed);
    for (let k = 0; k < clutter; k++) {
      const [left, top] = [2.2 * draw() - 1.1, 2.2 * draw() - 1.1], other = Math.floor(10 * draw());
      const [offX, offY] = [0.5 * draw() - 0.25, 0.5 * draw() - 0.25], reach = 2.5 / HALF;
      put(image, other, left + offX, top + offY, 22, 0, (u, v) =>
        Math.abs(u - left) < reach && Math.abs(v - top) < reach);
    }
    if (which >= 0) put(image, which, x, y, size, angle);
  }

  // ------------------------------------------------------------------------------ pictures

  const input = Widget.canvas({
    label: "", ratio: 1, focus: true,
    paint(context, width, height, colour) {
      const to = (v) => ((v / VIEW + 1) / 2) * width, edge = 1 + 1 / (SIDE - 1);
      context.fillStyle = colour.card;
      context.fillRect(0, 0, width, height);
      Widget.picture(context, image, SIDE, SIDE, to(-edge), to(-edge), to(edge) - to(-edge));
      const points = STN.corners(theta).map((point) => point.map(to));
      Widget.line(context, points, colour.orange, { close: true, width: 3 });
      const top = [(points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2 - 9];
      Widget.text(context, "top", ...top, colour.orange, "center");
      Widget.dot(context, to(theta[2]), to(theta[5]), 4, colour.orange, colour.ground);
    },
  });
  const result = Widget.canvas({
    label: "", ratio: 1,
    paint: (context, width) => Widget.picture(context, output, SIDE, SIDE, 0, 0, width),
  });

  // ------------------------------------------------------------------------------ controls

  const shown = Widget.list({
    label: "Digit", value: which, options: [...digits.map((_, k) => [k, String(k)]), [-1, "none"]],
    change: (value) => ((which = Number(value)), update()),
  });
  const mouse = Widget.choice({
    label: "Mouse or finger", value: "drag", options: [["drag", "drags"], ["draw", "draws"]],
    change: (value) => (drawing = value === "draw"),
  });
  const sliders = [
    Widget.slider({
      label: "turn", min: -90, max: 90, step: 1, value: angle, show: (v) => `${v}°`,
      change: (value) => ((angle = value), update()),
    }),
    Widget.slider({
      label: "size", min: 10, max: 34, step: 1, value: size, show: (v) => `${v} pixels`,
      change: (value) => ((size = value), update()),
    }),
    Widget.slider({
      label: "scraps", min: 0, max: 10, step: 1, value: clutter,
      change: (value) => ((clutter = value), update()),
    }),
  ];
  const told = Widget.live();

  function update() {
    makeImage();
    theta = [...STN.forward(layers, image, 1, SIDE, SIDE)];
    STN.bilinear(image, SIDE, SIDE, STN.affineGrid(theta, SIDE, SIDE), output);
    const { scale, rotation } = STN.decompose(theta);
    const at = ([u, v]) => `(${u.toFixed(2)}, ${v.toFixed(2)})`;
    const text = `Digit at ${at([x, y])}, turned ${angle}°. View at ${at([theta[2], theta[5]])}, ` +
      `scale ${scale.toFixed(2)}, turned ${rotation.toFixed(0)}°.`;
    told.say(text);
    input.describe(`The image and the view that the network chose. Arrow keys move the digit. ${text}`);
    result.describe(`What the network hands on. ${text}`);
    input.redraw();
    result.redraw();
  }

  function moveTo(nextX, nextY) {
    [x, y] = [nextX, nextY].map((value) => Math.min(Math.max(value, -1), 1));
    update();
  }

  let last;
  Widget.drag(input.node, {
    move(px, py, first) {
      const [u, v] = [px, py].map((value) => ((value / input.node.clientWidth) * 2 - 1) * VIEW);
      if (drawing) {
        for (let k = 0; k < SIDE * SIDE; k++) {
          const far = HALF * Math.hypot(base[2 * k] - u, base[2 * k + 1] - v);
          drawn[k] = Math.min(1, Math.max(drawn[k], 2 - far));
        }
        update();
      } else if (!first) moveTo(x + u - last[0], y + v - last[1]);
      last = [u, v];
    },
    key: (dx, dy, event) => moveTo(...[[x, dx], [y, dy]].map(([now, d]) =>
      now + d * (event.shiftKey ? 0.2 : 0.04))),
  });
  const panel = (title, canvas) => Widget.element("div", {}, title, canvas.node);
  stage.append(
    Widget.row(shown.node, mouse.node,
      Widget.button("Other scraps", () => (seed++, update())),
      Widget.button("Erase", () => (drawn.fill(0), update()))),
    Widget.panels(panel("Image and view", input), panel("Output", result)),
    Widget.sliders(...sliders.map((slider) => slider.node)),
    told.node,
  );
  update();

  return {
    state: () => ({
      x, y, size, angle, clutter, which, theta, image: [...image], output: [...output],
    }),
  };
});
