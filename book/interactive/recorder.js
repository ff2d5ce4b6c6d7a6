// Flight recorder: recorded trainings, two side by side, step by step.
//
// What moves is what was recorded at each step, over the images of the batch: the mean of θ, the
// spread of the view's centre, coverage, ‖φ‖₁, the change of θ by that step, accuracy.

"use strict";

Widget.figure("recorder", (stage, data) => {
  const { trainings, scenes, start, columns } = data;
  const SIDE = 40;
  const images = Object.fromEntries(Object.entries(scenes).map(([name, { side, pixels }]) =>
    [name, { side, pixels: Float64Array.from(Widget.bytes(pixels), (value) => value / 255) }]));
  const ROWS = [
    ["coverage", "coverage", (v) => v],
    ["phi", "‖φ‖₁", log(0, 5)],
    ["change", "change of θ", log(-4, 1)],
    ["accuracy", "accuracy", (v) => v],
  ];

  function log(low, high) {
    return (v) => Math.min(Math.max((Math.log10(Math.max(v, 1e-9)) - low) / (high - low), 0), 1);
  }

  /** A training's numbers: one array a column. */
  function unpack(training) {
    const all = Widget.halves(training.values), frames = all.length / columns.length;
    const parts = columns.map((name, k) => [name, all.subarray(k * frames, (k + 1) * frames)]);
    return { ...training, frames, ...Object.fromEntries(parts) };
  }

  const short = (value) => (Math.abs(value) < 1000 ? value.toPrecision(3) : value.toExponential(1));

  /** One of the two sides. */
  function recorder(key, name) {
    let training = unpack(trainings.find((each) => each.key === key)), frame = 0;
    const output = new Float64Array(SIDE * SIDE);
    const groups = new Map();
    for (const { key, group, label } of trainings) {
      groups.set(group, [...(groups.get(group) ?? []), [key, label]]);
    }
    const chosen = Widget.list({
      label: `${name}:`, value: key, options: [...groups],
      change: (next) => {
        training = unpack(trainings.find((each) => each.key === next));
        fit();
        show(player.frame);
      },
    });
    const theta = () => Array.from({ length: 6 }, (_, k) => training[`theta_mean_${k}`][frame]);

    const scene = Widget.canvas({
      label: "", ratio: 1,
      paint(context, width, height, colour) {
        const now = theta(), points = STN.corners(now), { side, pixels } = images[training.data];
        const reach = Math.max(1.25, 1.1 * Math.max(...points.flat().map(Math.abs)));
        const to = (v) => ((v / reach + 1) / 2) * width, edge = 1 + 1 / (side - 1);
        context.fillStyle = colour.card;
        context.fillRect(0, 0, width, height);
        Widget.picture(context, pixels, side, side, to(-edge), to(-edge), Math.max(to(edge) - to(-edge), 2));
        if (reach > 8) Widget.dot(context, to(0), to(0), 7, "transparent", colour.blue);
        Widget.line(context, points.map((point) => point.map(to)), colour.orange, { close: true, width: 2.5 });
        const [x, y] = [now[2], now[5]], [dx, dy] = [training.spread_x[frame], training.spread_y[frame]];
        Widget.line(context, [[to(x - dx), to(y)], [to(x + dx), to(y)]], colour.orange, { width: 2 });
        Widget.line(context, [[to(x), to(y - dy)], [to(x), to(y + dy)]], colour.orange, { width: 2 });
        if (reach > 1.3) Widget.text(context, `view × ${short(reach / 1.25)}`, 6, height - 10, colour.muted);
      },
    });
    const view = Widget.canvas({
      label: "", ratio: 1,
      paint: (context, width) => Widget.picture(context, output, SIDE, SIDE, 0, 0, width),
    });
    const time = Widget.canvas({
      label: "", ratio: (width) => 216 / width,
      paint(context, width, height, colour) {
        const x = (k) => 4 + ((width - 8) * k) / Math.max(training.frames - 1, 1);
        ROWS.forEach(([column, title, scale], r) => {
          const top = 54 * r + 16, y = (value) => top + 34 * (1 - scale(value));
          Widget.line(context, [[4, top + 34], [width - 4, top + 34]], colour.faint, { width: 1 });
          const points = Array.from(training[column], (value, k) => [x(k), y(value)]);
          Widget.line(context, points, column === "accuracy" ? colour.blue : colour.ink, { width: 1.5 });
          Widget.text(context, title, 4, top - 8, colour.muted, "left", 12);
          Widget.text(context, short(training[column][frame]), width - 4, top - 8, colour.ink, "right", 12);
          Widget.dot(context, x(frame), y(training[column][frame]), 3.5, colour.orange);
        });
        Widget.line(context, [[x(frame), 8], [x(frame), height]], colour.orange, { width: 1 });
        for (const [at, kind] of training.events.slice(0, 1)) {
          const here = x((at - 1) / training.every);
          Widget.line(context, [[here, 8], [here, height]], colour.red, { width: 1.5, dash: [4, 3] });
          const right = here > width / 2;
          Widget.text(context, kind, here + (right ? -4 : 4), 28, colour.red, right ? "right" : "left", 12);
        }
      },
    });
    Widget.drag(time.node, {
      along: true,
      move: (x) => seek((x - 4) / (time.node.clientWidth - 8)),
    });
    const seek = (share) => {
      player.pause();
      player.go(Math.round(Math.min(Math.max(share, 0), 1) * (training.frames - 1)));
    };

    function show(next) {
      frame = Math.min(next, training.frames - 1);
      const { side, pixels } = images[training.data];
      const grid = STN.affineGrid(theta(), SIDE, SIDE);
      STN.SAMPLERS[training.sampler](pixels, side, side, grid, output);
      const text = `${name}, ${training.label}: step ${step()}, coverage ${training.coverage[frame].toFixed(2)}, ` +
        `‖φ‖₁ ${short(training.phi[frame])}, accuracy ${training.accuracy[frame].toFixed(2)}; ends ${training.outcome}.`;
      scene.describe(`The mean view over the image. ${text}`);
      view.describe(`The image in the mean view. ${text}`);
      time.describe(`Coverage, φ, change of θ and accuracy over ${training.frames} steps. ${text}`);
      for (const canvas of [scene, view, time]) canvas.redraw();
      return text;
    }
    const step = () => 1 + frame * training.every;

    const end = Widget.element("p", { className: "stn-note" });
    function fit() {
      const [first] = training.events;
      const warned = first ? `the monitor warned at step ${first[0]}: ${first[1]}` : "the monitor never warned";
      end.textContent = `Ends ${training.outcome}, validation accuracy ${training.final.toFixed(2)}; ${warned}.`;
      resize();
    }
    return {
      chosen, show, fit,
      node: Widget.tall(
        chosen.node, Widget.panels(Widget.element("div", {}, "Mean view", scene.node), Widget.element("div", {}, "Output", view.node)),
        time.node, end,
      ),
      get frames() {
        return training.frames;
      },
      state: () => ({
        key: training.key, frame, step: step(), theta: theta(), outcome: training.outcome,
        output: [...output], events: training.events,
        ...Object.fromEntries(columns.map((column) => [column, training[column][frame]])),
      }),
    };
  }

  const told = Widget.live();
  const sides = start.map((key, k) => recorder(key, ["Left", "Right"][k]));
  const player = Widget.player({
    label: "Frame", length: 2, rate: 24, autoplay: true,
    show: (frame) => told.say(sides.map((side) => side.show(frame)).join(" ")),
  });
  function resize() {
    player.resize(Math.max(...sides.map((side) => side.frames)));
  }
  stage.append(player.node, Widget.panels(...sides.map((side) => side.node)), told.node);
  for (const side of sides) side.fit();
  player.go(0);

  return {
    state: () => ({
      frame: player.frame, running: player.running, sides: sides.map((side) => side.state()),
    }),
  };
});
