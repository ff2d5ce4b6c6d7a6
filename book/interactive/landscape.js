// Landscape: the loss of a transformer with two parameters, and walkers that descend on it.
//
// One dimension, as on the page: the image is a cone on [-1, 1], which is 1 in the middle, has
// `border` at both ends and is 0 outside. θ = (s, t) shows f(s u + t) for u in [-1, 1], and the
// image itself is wanted. Out of sight is |t| ≥ 1 + |s|.

"use strict";

/** stnlib.book.toy with a cone as image and target, and the walks of stnlib.book.walks. */
const Toy = (function () {
  const GAUSS = 1 / Math.sqrt(3), SLACK = 1e-6;
  const breaks = new Float64Array(6), found = new Float64Array(5);

  const cone = (border, x) => (Math.abs(x) <= 1 ? 1 - (1 - border) * Math.abs(x) : 0);
  const slopeOf = (border, x) => (x < -1 || x >= 1 ? 0 : x < 0 ? 1 - border : border - 1);
  const outOfSight = (s, t) => Math.abs(t) >= 1 + Math.abs(s) - SLACK;

  /** Loss at (s, t), the gradient's interior part by s and t, and its boundary part. */
  function read(border, s, t) {
    for (let k = -1; k <= 1; k++) {
      breaks[k + 1] = Math.min(Math.max((k - t) / s || 0, -1), 1);
      breaks[k + 4] = k;
    }
    breaks.sort();
    found.fill(0);
    for (let k = 0; k < 5; k++) {
      const middle = (breaks[k + 1] + breaks[k]) / 2, half = (breaks[k + 1] - breaks[k]) / 2;
      for (let side = -1; side <= 1; side += 2) {
        const u = middle + side * GAUSS * half, x = s * u + t;
        const off = cone(border, x) - cone(border, u), pull = 2 * half * off * slopeOf(border, x);
        found[0] += half * off * off;
        found[1] += pull * u;
        found[2] += pull;
      }
    }
    for (let e = -1; e <= 1; e += 2) {
      const u = (e - t) / s;
      if (!(Math.abs(u) < 1)) continue;
      const wanted = cone(border, u), cost = (border - wanted) ** 2 - wanted ** 2;
      found[3] -= (e * cost * u) / Math.abs(s);
      found[4] -= (e * cost) / Math.abs(s);
    }
    return found;
  }

  /** The gradient that a sampler reports: the clipped one has the interior part alone. */
  function gradient(border, sampler, s, t) {
    const [, a, b, c, d] = read(border, s, t);
    return sampler === "clipped" ? [a, b] : [a + c, b + d];
  }

  /** Where descent in steps of 0.02, without noise, leads from (s, t). */
  function leads(border, sampler, s, t) {
    if (outOfSight(s, t)) return "nowhere";
    for (let k = 0; k < 600; k++) {
      if (Math.hypot(Math.abs(s) - 1, t) < 0.05) return "identity";
      if (Math.hypot(s, Math.abs(t) - 0.5) < 0.05) return "point";
      if (Math.abs(t) > 0.98 * (1 + Math.abs(s))) return "edge";
      const [a, b] = gradient(border, sampler, s, t), size = Math.hypot(a, b);
      if (size < 1e-9) return "nowhere";
      s -= (0.02 * a) / size;
      t -= (0.02 * b) / size;
    }
    return "elsewhere";
  }

  /** The shift, at a scale, from which on descent does not lead to the identity; null if none. */
  function ridge(border, sampler, s) {
    const edge = 1 + Math.abs(s), home = (t) => leads(border, sampler, s, t) === "identity";
    let low = 0.005, high = low;
    while (high < 0.97 * edge && home(high)) [low, high] = [high, high + 0.1];
    if (high >= 0.97 * edge) return null;
    for (let n = 0; n < 7; n++) {
      const middle = (low + high) / 2;
      if (home(middle)) low = middle;
      else high = middle;
    }
    return high;
  }

  /** Walkers from one start; draw() gives the noise of each part of each gradient. */
  function walkers({ border, sampler, method, rate, noise, start, count }, draw) {
    const all = Array.from({ length: count }, () =>
      ({ place: [...start], mean: [0, 0], square: [0, 0], out: null }));
    let done = 0;
    function move({ place, mean, square }) {
      const g = gradient(border, sampler, ...place);
      for (let k = 0; k < 2; k++) {
        if (noise) g[k] += noise * draw();
        mean[k] = 0.9 * mean[k] + 0.1 * g[k];
        square[k] = 0.999 * square[k] + 0.001 * g[k] ** 2;
        const root = Math.sqrt(square[k] / (1 - 0.999 ** done)) + 1e-8;
        place[k] -= rate * (method === "adam" ? mean[k] / (1 - 0.9 ** done) / root : g[k]);
      }
    }
    return {
      all,
      get done() {
        return done;
      },
      step() {
        done++;
        for (const walker of all) {
          if (walker.out !== null) continue;
          move(walker);
          if (outOfSight(...walker.place)) walker.out = done;
        }
      },
    };
  }

  /** Normal random numbers from uniform ones. */
  const normals = (draw) => () =>
    Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());

  return { cone, read, gradient, ridge, leads, walkers, normals, outOfSight };
})();

Widget.figure("landscape", (stage) => {
  const MOST = 6000, COUNT = 20, TRAIL = 300;
  const LEFT = -1.2, RIGHT = 3.4, TOP = 4.2; // what the map shows: s from left to right, |t| ≤ TOP
  const WORDS = {
    identity: "descent leads to the identity", edge: "descent leads to the edge of sight",
    point: "descent leads to a view of a single point", nowhere: "the gradient is zero",
    elsewhere: "descent leads to neither",
  };
  let border = 0, sampler = "correct", method = "adam", noise = 4, start = [1, 0];
  let group = null, trails = [], frame = 0, seed = 0, times = [], here; // what the start's readings are

  // ------------------------------------------------------------------------------ pictures

  const X = (width) => (s) => ((s - LEFT) / (RIGHT - LEFT)) * width;
  const Y = (height) => (t) => ((TOP - t) / (2 * TOP)) * height;

  /** The loss as shades between the ground and the ink, an image of columns × rows. */
  function shades(columns, rows, dark) {
    const node = Widget.element("canvas", { width: columns, height: rows });
    const image = new ImageData(columns, rows), values = new Float64Array(columns * rows);
    for (let p = 0; p < values.length; p++) {
      const s = LEFT + (((p % columns) + 0.5) / columns) * (RIGHT - LEFT);
      const t = TOP - ((Math.floor(p / columns) + 0.5) / rows) * 2 * TOP;
      values[p] = Toy.outOfSight(s, t) ? 0 : Toy.read(border, s, t)[0];
    }
    const most = values.reduce((a, b) => Math.max(a, b));
    values.forEach((value, p) =>
      image.data.set([...(dark ? [255, 255, 255] : [0, 0, 0]), (140 * value) / most], 4 * p));
    node.getContext("2d").putImageData(image, 0, 0);
    return node;
  }

  const shadeOf = (colour, end) => ({ identity: colour.blue, point: colour.point })[end] ?? colour.red;

  /** The direction of descent, in the colour of where it leads. */
  function arrows(context, x, y, size, colour) {
    for (let s = LEFT + 0.2; s < RIGHT; s += 0.26) {
      for (let t = 0.15 - TOP; t < TOP; t += 0.3) {
        const [a, b] = Toy.gradient(border, sampler, s, t), long = Math.hypot(a, b);
        if (long < 1e-3 || Toy.outOfSight(s, t)) continue;
        const shade = shadeOf(colour, Toy.leads(border, sampler, s, t));
        const [dx, dy] = [(-size * a) / long, (size * b) / long];
        const tip = [x(s) + dx, y(t) + dy];
        Widget.line(context, [[x(s) - dx, y(t) - dy], tip], shade, { width: 1.2 });
        Widget.dot(context, ...tip, 1.8, shade);
      }
    }
  }

  let layer = null, key = "";
  /** All of the map that does not move, drawn once for a size, a theme and a landscape. */
  function still(width, height, colour) {
    const dots = globalThis.devicePixelRatio || 1, dark = document.documentElement.dataset.theme === "dark";
    const now = [width, height, dots, dark, border, sampler].join();
    if (now === key) return layer;
    key = now;
    layer = Widget.element("canvas", { width: width * dots, height: height * dots });
    const context = layer.getContext("2d"), x = X(width), y = Y(height);
    context.setTransform(dots, 0, 0, dots, 0, 0);
    context.drawImage(shades(92, 120, dark), 0, 0, width, height);
    arrows(context, x, y, width / 70, colour);
    const scales = Array.from({ length: 47 }, (_, k) => LEFT + ((RIGHT - LEFT) * k) / 46);
    const ridges = scales.map((s) => [s, Toy.ridge(border, sampler, s)]);
    for (const side of [1, -1]) {
      Widget.line(context, [LEFT, 0, RIGHT].map((s) => [x(s), y(side * (1 + Math.abs(s)))]), colour.ink);
      for (let k = 1; k < ridges.length; k++) {
        const pair = ridges.slice(k - 1, k + 1);
        if (pair.some(([, t]) => t === null)) continue;
        Widget.line(context, pair.map(([s, t]) => [x(s), y(side * t)]), colour.ink, { dash: [5, 3] });
      }
      Widget.text(context, "★", x(side), y(0), colour.ink, "center", 20);
    }
    for (const t of [3, -3]) Widget.text(context, "out of sight", x(0), y(t), colour.ink, "center", 12);
    Widget.text(context, "shift t ↑", 6, 10, colour.ink, "left", 12);
    Widget.text(context, "scale s →", 6, height - 9, colour.ink, "left", 12);
    return layer;
  }

  const map = Widget.canvas({
    label: "", ratio: 1.15, focus: true,
    paint(context, width, height, colour) {
      const within = (v, high) => Math.min(Math.max(v, 5), high - 5);
      const place = ([s, t]) => [X(width)(s), Y(height)(t)];
      const at = (where) => place(where).map((v, k) => within(v, [width, height][k]));
      context.drawImage(still(width, height, colour), 0, 0, width, height);
      trails.forEach((trail) => Widget.line(context, trail.map(place), colour.ink, { width: 0.8 }));
      for (const { place, out } of group?.all ?? []) {
        if (out === null) Widget.dot(context, ...at(place), 4, colour.ink, colour.ground);
        else Widget.text(context, "×", ...at(place), colour.red, "center", 18);
      }
      Widget.dot(context, ...at(start), 8, colour.orange, colour.ground);
    },
  });
  const view = Widget.canvas({
    label: "", ratio: 0.45,
    paint(context, width, height, colour) {
      const [s, t] = shown(), all = Array.from({ length: 201 }, (_, k) => k / 100 - 1);
      const curve = (f) => all.map((u) => [8 + ((u + 1) / 2) * (width - 16), height - 8 - f(u) * (height - 36)]);
      Widget.line(context, curve((u) => Toy.cone(border, u)), colour.muted, { dash: [5, 4] });
      Widget.line(context, curve((u) => Toy.cone(border, s * u + t)), colour.blue);
      Widget.text(context, "wanted", 8, 10, colour.muted);
      Widget.text(context, group ? "what the first walker shows" : "what the start shows", width - 8, 10, colour.blue, "right");
    },
  });
  const left = Widget.canvas({
    label: "", ratio: 0.8,
    paint(context, width, height, colour) {
      const x = (power) => 34 + ((power + 2.5) / 2.5) * (width - 48);
      const y = (steps) => height - 30 - (Math.log10(steps) / 4) * (height - 58);
      for (const steps of [1, 10, 100, 1000]) {
        Widget.line(context, [[30, y(steps)], [width, y(steps)]], colour.faint, { width: 1 });
        Widget.text(context, String(steps), 26, y(steps), colour.muted, "right", 11);
      }
      for (const value of [0.01, 0.1, 1]) {
        Widget.text(context, String(value), x(Math.log10(value)), height - 20, colour.muted, "center", 11);
      }
      Widget.text(context, "steps until out of sight", 4, 9, colour.ink);
      Widget.text(context, "rate", width / 2, height - 7, colour.ink, "center");
      times.forEach(({ power, out }, k) => {
        const place = [x(power) + 3 * ((k % COUNT) / COUNT - 0.5), y(out ?? 10_000)];
        if (out !== null) Widget.dot(context, ...place, 3, colour.red);
        else Widget.text(context, "○", ...place, colour.ink, "center", 12);
      });
      if (times.some(({ out }) => out === null)) {
        Widget.text(context, `○ in sight after ${MOST}`, width - 4, 24, colour.muted, "right", 11);
      }
    },
  });
  const shown = () => group?.all[0].place ?? start;

  // ------------------------------------------------------------------------------ controls

  const another = () => ((times = []), place(start));
  const borders = Widget.choice({
    label: "Border of the image", value: border, options: [[0, "dark"], [0.5, "bright"]],
    change: (value) => ((border = value), another()),
  });
  const samplers = Widget.choice({
    label: "Sampler", value: sampler, options: [["correct", "correct"], ["clipped", "clipped"]],
    change: (value) => ((sampler = value), another()),
  });
  const methods = Widget.choice({
    label: "Walkers of", value: method, options: [["adam", "Adam"], ["descent", "gradient descent"]],
    change: (value) => ((method = value), another()),
  });
  const noises = Widget.choice({
    label: "Noise in the gradient", value: noise, options: [[0, "none"], [1, "1"], [4, "4"]],
    change: (value) => ((noise = value), another()),
  });
  const show = (value) => value.toFixed(2);
  const scale = Widget.slider({
    label: "scale s", min: LEFT, max: RIGHT, step: 0.01, value: 1, show,
    change: (s) => place([s, start[1]]),
  });
  const shift = Widget.slider({
    label: "shift t", min: -TOP, max: TOP, step: 0.01, value: 0, show,
    change: (t) => place([start[0], t]),
  });
  const rate = Widget.slider({
    label: "rate", min: -2.5, max: 0, step: 0.05, value: -0.5,
    show: (power) => (10 ** power).toPrecision(2), change: () => place(start),
  });
  const release = Widget.button("Release", () => (frame || waiting ? stop() : begin()));
  const forget = Widget.button("Forget the times", another);
  const told = Widget.live();

  /** The start, without walkers. */
  function place(next) {
    stop();
    start = [Math.min(Math.max(next[0], LEFT), RIGHT), Math.min(Math.max(next[1], -TOP), TOP)];
    start = start.map((value) => Math.round(100 * value) / 100);
    group = null;
    trails = [];
    here = readings();
    update();
  }

  // ------------------------------------------------------------------------------- walking

  let waiting = false; // for the figure to be seen again

  function begin() {
    const options = { border, sampler, method, noise, start, rate: 10 ** rate.value };
    group = Toy.walkers({ ...options, count: noise ? COUNT : 1 }, Toy.normals(STN.random(++seed)));
    trails = group.all.map(() => [start]);
    release.textContent = "Stop";
    frame = requestAnimationFrame(walk);
    update();
  }
  const walking = () => group.done < MOST && group.all.some(({ out }) => out === null);
  function walk() {
    frame = 0;
    waiting = !Widget.visible(stage);
    if (waiting) return;
    // Ever faster, so that thousands of steps take seconds; where motion is unwanted, at once.
    const steps = Widget.still.matches ? 400 : 1 + Math.floor(group.done / 60);
    for (let k = 0; k < steps && walking(); k++) {
      group.step();
      group.all.forEach(follow);
    }
    if (walking()) frame = requestAnimationFrame(walk);
    else finish();
    update();
  }
  /** The last places of a walker that lie apart. */
  function follow({ place }, k) {
    const [s, t] = trails[k].at(-1);
    if (Math.hypot(place[0] - s, place[1] - t) < 0.02) return;
    trails[k].push([...place]);
    if (trails[k].length > TRAIL) trails[k].shift();
  }
  function finish() {
    times.push(...group.all.map(({ out }) => ({ power: rate.value, out })));
    stop();
  }
  function stop() {
    cancelAnimationFrame(frame);
    frame = 0;
    waiting = false;
    release.textContent = "Release";
  }
  Widget.watch(stage, () => waiting && walk());

  // ------------------------------------------------------------------------------ readings

  function readings() {
    const [s, t] = start, [loss] = Toy.read(border, s, t);
    return {
      loss, gradient: Toy.gradient(border, sampler, s, t), edge: 1 + Math.abs(s),
      ridge: Toy.ridge(border, sampler, s), leads: Toy.leads(border, sampler, s, t),
    };
  }
  function outcome() {
    const outs = group.all.flatMap(({ out }) => out ?? []).sort((a, b) => a - b), n = group.all.length;
    const who = n > 1 ? `${outs.length} of ${n} walkers out of sight` : `walker ${outs.length ? "out of sight" : "in sight"}`;
    const middle = 2 * outs.length > n ? `, half after ${outs[n >> 1]} steps` : "";
    return `Step ${group.done}: ${who}${n > 1 ? middle : ""}.`;
  }
  function update() {
    scale.set(start[0]);
    shift.set(start[1]);
    const { loss, leads, edge, ridge } = here, [s, t] = start.map(show);
    const turn = ridge === null ? "no ridge" : `ridge at ${show(ridge)}`;
    const from = `Start s = ${s}, t = ${t}: loss ${loss.toFixed(3)}; ${WORDS[leads]}. ` +
      `At this scale: ${turn}, edge of sight at ${show(edge)}.`;
    const text = group ? `${outcome()} ${from}` : from;
    told.say(text);
    map.describe(`Map of the loss over scale and shift. Arrow keys move the start. ${text}`);
    view.describe("The image that is wanted, and what the view shows of it.");
    left.describe(`Steps until out of sight over the rate, a dot a walker: ${times.length} walkers.`);
    for (const canvas of [map, view, left]) canvas.redraw();
  }

  Widget.drag(map.node, {
    move: (px, py) => {
      const { clientWidth: width, clientHeight: height } = map.node;
      place([LEFT + (px / width) * (RIGHT - LEFT), TOP - (py / height) * 2 * TOP]);
    },
    key: (dx, dy, { shiftKey }) =>
      place([start[0] + dx * (shiftKey ? 0.2 : 0.02), start[1] - dy * (shiftKey ? 0.2 : 0.02)]),
  });
  stage.append(
    Widget.row(borders.node, samplers.node), Widget.row(methods.node, noises.node),
    Widget.row(release, forget),
    Widget.panels(Widget.tall(map.node), Widget.tall(view.node, left.node)),
    Widget.sliders(scale.node, shift.node, rate.node), told.node,
  );
  place(start);

  return {
    state: () => ({
      border, sampler, method, noise, start, rate: 10 ** rate.value, times, ...here,
      running: frame > 0, waiting, done: group?.done ?? 0,
      walkers: (group?.all ?? []).map(({ place, out }) => ({ place: [...place], out })),
    }),
  };
});
