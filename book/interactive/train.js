// Kill it yourself: a spatial transformer trains in the page, twenty times, with your settings.

"use strict";

/** Digits of 8×8 at random places of 16×16: `count` images, from `draw`, of those in [low, high). */
function smallImages(data, draw, low, high, count) {
  const images = new Float64Array(256 * count), labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const which = low + Math.floor(draw() * (high - low));
    const left = Math.floor(draw() * 9), top = Math.floor(draw() * 9);
    for (let k = 0; k < 64; k++) {
      images[256 * i + 16 * (top + (k >> 3)) + left + (k & 7)] = data.digits[64 * which + k] / 16;
    }
    labels[i] = data.labels[which];
  }
  return { images, labels };
}

/** One training; `measured` judges it on 300 validation images, as stnlib does. */
function smallTraining(STN, data, options, seed) {
  "use strict";
  const HALF = 7.5; // half of the image's side, in pixels
  const SHOWN = 6; // images whose views are drawn
  const network = STN.smallNetwork({ seed: 2 * seed + 1, relu: options.relu });
  const draw = STN.random(2 * seed + 2);
  const { images, labels } = smallImages(data, STN.random(0), data.train, data.count, 300);
  const history = [];
  const training = { seed, history, step, views, thetas, done: 0 };
  training.measured = measure();

  function step() {
    const batch = smallImages(data, draw, 0, data.train, options.batch);
    const factor = STN.schedule(options.schedule, training.done / options.steps, options.warmup);
    const told = network.differentiate(batch.images, batch.labels);
    const kept = training.done % 5 === 0, before = kept && thetas();
    network.adam(options.rate * options.factor * factor, options.rate * factor);
    training.done++;
    if (kept) {
      const after = thetas(), seen = after.map(STN.coverage);
      const moved = after.map((now, i) => Math.max(...now.map((v, k) => Math.abs(v - before[i][k]))));
      const mean = (values) => values.reduce((a, b) => a + b) / values.length;
      history.push([training.done, told.accuracy, mean(seen), mean(moved), told.phi]);
    }
    if (training.done % 100 === 0 || training.done === options.steps) training.measured = measure();
  }

  function thetas(count = SHOWN) {
    return Array.from({ length: count }, (_, i) => (network.look(images, 256 * i), [...network.theta]));
  }

  /** θ, input and output of the first validation images. */
  function views() {
    return Array.from({ length: SHOWN }, (_, i) => {
      network.look(images, 256 * i);
      const image = images.slice(256 * i, 256 * (i + 1));
      return { theta: [...network.theta], image, output: network.view.slice() };
    });
  }

  /** Share of the digit's brightness that lies within the view. */
  function objectCoverage([a, b, tx, c, d, ty], at) {
    const det = a * d - b * c;
    let seen = 0, all = 0;
    for (let p = 0; p < 256; p++) {
      const value = images[at + p];
      if (value === 0) continue;
      const x = (p & 15) / HALF - 1 - tx, y = (p >> 4) / HALF - 1 - ty;
      const inside = Math.abs((d * x - b * y) / det) <= 1 && Math.abs((a * y - c * x) / det) <= 1;
      all += value;
      seen += inside ? value : 0;
    }
    return seen / all;
  }

  function measure() {
    const n = labels.length, sums = new Float64Array(8), squares = new Float64Array(8), sides = [];
    let right = 0, black = 0, seen = 0, area = 0, phi = 0;
    for (let i = 0; i < n; i++) {
      right += network.look(images, 256 * i) === labels[i];
      const theta = [...network.theta];
      const top = images.subarray(256 * i, 256 * (i + 1)).reduce((a, b) => Math.max(a, b));
      black += network.view.every((value) => value < 0.01 * top);
      area += STN.coverage(theta);
      seen += objectCoverage(theta, 256 * i);
      phi += network.phi.reduce((sum, value) => sum + Math.abs(value), 0);
      const [a, b, , c, d] = theta;
      sides.push(2 * HALF * Math.max(Math.abs(a) + Math.abs(b), Math.abs(c) + Math.abs(d)));
      STN.corners(theta).flat().forEach((value, k) => {
        sums[k] += value / n;
        squares[k] += (value * value) / n;
      });
    }
    const spread = HALF * Math.sqrt(Math.max(0, ...sums.map((m, k) => squares[k] - m * m)));
    const side = sides.sort((a, b) => a - b)[n >> 1];
    const found = { accuracy: right / n, black: black / n, object: seen / n, side, spread };
    return { ...found, coverage: area / n, phi: phi / n, outcome: outcome(found) };
  }

  /** What became of it, as stnlib.records.outcome has it. */
  function outcome({ accuracy, black, object, side, spread }) {
    const at = data.thresholds;
    if (!training.done) return "untrained";
    if (black >= at.black) return "black";
    if (!(object >= at.seen)) return "shrunken";
    if (side < at.point) return "point";
    if (spread < at.blind) return "blind";
    if (accuracy < at.chance) return "at chance";
    return spread < at.idle ? "idle" : "looks";
  }

  return training;
}

/** What runs in the worker: all trainings, the shown one first. */
function smallWorker(STN, smallTraining, post) {
  "use strict";
  let runs = [], shown = 0, running = false, options, turn = 0, other = 0, began = 0;
  let shownSteps = 0, speed = 0;
  const left = (run) => run.done < options.steps;

  /** The shown training has three of four steps until it ends; the others go on by turns. */
  function next() {
    if (turn++ % 4 && left(runs[shown])) return runs[shown];
    for (let k = 0; k < runs.length; k++) {
      other = (other + 1) % runs.length;
      if (left(runs[other])) return runs[other];
    }
    return null;
  }

  function report() {
    const { history, done } = runs[shown], views = runs[shown].views();
    if (running && left(runs[shown])) speed = (1000 * shownSteps) / (performance.now() - began);
    post({
      shown, done, history, views, stepsPerSecond: speed,
      runs: runs.map((run) => ({ seed: run.seed, done: run.done, ...run.measured })),
      finished: !runs.some(left),
    });
  }

  function slice() {
    if (!running) return;
    const end = performance.now() + 14;
    let run;
    while (performance.now() < end && (run = next())) {
      run.step();
      shownSteps += run === runs[shown];
    }
    if (runs.some(left)) setTimeout(slice);
    else running = false;
    report();
  }

  return (message) => {
    if (message.begin) {
      options = message.options;
      runs = Array.from({ length: options.seeds }, (_, seed) =>
        smallTraining(STN, message.data, options, seed));
    }
    if (message.shown !== undefined) shown = message.shown;
    if (message.running !== undefined && message.running !== running) {
      running = message.running;
      began = performance.now();
      shownSteps = 0;
      if (running) setTimeout(slice);
    }
    report();
  };
}

Widget.figure("train", (stage, { digits, ...rest }) => {
  const data = { ...rest, digits: Widget.bytes(digits) };
  const STEPS = 600, SEEDS = 20;
  const { OUTCOMES } = Widget;
  const colourOf = (colour, outcome) => colour[Widget.shade(outcome)];
  let worker, wanted = false, sent = false, latest;

  // ------------------------------------------------------------------------------ controls

  const rate = Widget.slider({
    label: "Rate", min: -3.5, max: -1.5, step: 0.05, value: -2,
    show: (power) => (10 ** power).toPrecision(2), change: begin,
  });
  const factor = Widget.choice({
    label: "Localisation network’s rate", value: 1, change: begin,
    options: [[1, "× 1"], [0.3, "× 0.3"], [0.1, "× 0.1"], [0.03, "× 0.03"]],
  });
  const warmup = Widget.choice({
    label: "Warm-up", value: 0, change: begin, options: [[0, "none"], [0.1, "10 %"], [0.3, "30 %"]],
  });
  const schedule = Widget.choice({
    label: "Then", value: "constant", change: begin,
    options: [["constant", "constant"], ["cosine", "cosine"]],
  });
  const batch = Widget.choice({
    label: "Batch", value: 32, change: begin, options: [[8, "8"], [32, "32"], [128, "128"]],
  });
  const relu = Widget.toggle({ label: "ReLU before θ’s layer", value: true, change: begin });
  const seed = Widget.slider({
    label: "Show training", min: 1, max: SEEDS, step: 1, value: 1,
    change: (value) => worker.postMessage({ shown: value - 1 }),
  });
  const play = Widget.button("Train", () => {
    if (latest?.finished) begin();
    wanted = !wanted;
    follow();
  });
  const told = Widget.live();

  function options() {
    return {
      rate: 10 ** rate.value, factor: factor.value, warmup: warmup.value,
      schedule: schedule.value, batch: batch.value, relu: relu.value, steps: STEPS, seeds: SEEDS,
    };
  }

  /** New trainings, with the settings as they are. */
  function begin() {
    worker?.terminate();
    const parts = [
      `const STN = (${STN.source})();`, smallImages, smallTraining, smallWorker,
      "const take = smallWorker(STN, smallTraining, postMessage);",
      "onmessage = ({ data }) => take(data);",
    ];
    const address = URL.createObjectURL(new Blob([parts.join("\n")], { type: "text/javascript" }));
    worker = new Worker(address);
    URL.revokeObjectURL(address);
    worker.onmessage = ({ data: report }) => {
      latest = report;
      if (report.finished) wanted = sent = false;
      update();
    };
    wanted = sent = false;
    latest = null;
    worker.postMessage({ begin: true, data, options: options(), shown: seed.value - 1 });
  }

  /** Let the worker run where it is wanted and seen. */
  function follow() {
    const now = wanted && Widget.visible(stage) && !document.hidden;
    if (now !== sent) worker.postMessage({ running: (sent = now) });
    play.textContent = wanted ? "Pause" : "Train";
  }
  Widget.watch(stage, follow);
  new IntersectionObserver(() => setTimeout(follow)).observe(stage);
  document.addEventListener("visibilitychange", follow);

  // ------------------------------------------------------------------------------ pictures

  const scenes = Widget.canvas({
    label: "", ratio: 1.24,
    paint(context, width, height, colour) {
      if (!latest) return;
      const cell = width / 3, gap = 0.16 * cell, size = cell - 2 * gap;
      latest.views.forEach(({ theta, image, output }, i) => {
        const x = (i % 3) * cell + gap, top = Math.floor(i / 3) * (2 * cell - gap), y = top + gap;
        Widget.picture(context, image, 16, 16, x, y, size);
        Widget.picture(context, output, 16, 16, x, top + cell, size);
        context.save();
        context.beginPath();
        context.rect(x - gap, top, cell, cell - 2);
        context.clip();
        const points = STN.corners(theta).map(([u, v]) => [x + ((u + 1) / 2) * size, y + ((v + 1) / 2) * size]);
        Widget.line(context, points, colour.orange, { close: true });
        context.restore();
      });
    },
  });

  const curves = Widget.canvas({
    label: "", ratio: 1,
    paint(context, width, height, colour) {
      if (!latest) return;
      const left = 6, x = (step) => left + ((width - 2 * left) * step) / STEPS, { history } = latest;
      const middle = 0.52 * height, top = 18, upper = middle - 16;
      const share = (v) => upper - v * (upper - top);
      const log = (v) => {
        const power = Math.min(Math.max(Math.log10(Math.max(v, 1e-9)), -4), 0.5);
        return height - 18 - ((power + 4) / 4.5) * (height - 36 - middle);
      };
      for (const v of [0, 1]) Widget.line(context, [[x(0), share(v)], [x(STEPS), share(v)]], colour.faint, { width: 1 });
      for (const v of [1e-4, 1e-2, 1]) {
        Widget.line(context, [[x(0), log(v)], [x(STEPS), log(v)]], colour.faint, { width: 1 });
        Widget.text(context, String(v), width - left, log(v) - 7, colour.muted, "right", 11);
      }
      const curve = (column, place, shade) =>
        Widget.line(context, history.map((row) => [x(row[0]), place(row[column])]), shade);
      curve(2, share, colour.orange);
      curve(1, share, colour.blue);
      curve(3, log, colour.ink);
      Widget.text(context, "coverage", left, 8, colour.orange);
      Widget.text(context, "accuracy", width - left, 8, colour.blue, "right");
      Widget.text(context, "change of θ in one step", left, middle, colour.ink);
      Widget.text(context, `step ${latest.done} of ${STEPS}`, left, height - 7, colour.muted, "left", 11);
    },
  });

  let places = []; // of the dots
  const dots = Widget.canvas({
    label: "", ratio: (width) => (width < 500 ? 0.55 : 0.3),
    paint(context, width, height, colour) {
      if (!latest) return;
      const cell = width / OUTCOMES.length, small = width < 500 ? 9 : 13;
      places = [];
      const y = (accuracy) => height - 34 - accuracy * (height - 46);
      for (const v of [0, 0.5, 1]) {
        Widget.line(context, [[0, y(v)], [width, y(v)]], colour.faint, { width: 1 });
      }
      OUTCOMES.forEach((name, k) => {
        const here = latest.runs.filter((run) => run.outcome === name), middle = (k + 0.5) * cell;
        Widget.text(context, name, middle, height - 22, colour.ink, "center", small);
        Widget.text(context, String(here.length), middle, height - 7, colour.muted, "center", small);
        for (const run of here) {
          const at = middle + (run.seed / (SEEDS - 1) - 0.5) * 0.7 * cell;
          const here = run.seed === latest.shown, edge = here ? colour.orange : colour.ground;
          Widget.dot(context, at, y(run.accuracy), here ? 7 : 5, colourOf(colour, name), edge);
          places.push([at, y(run.accuracy), run.seed]);
        }
      });
    },
  });

  dots.node.addEventListener("pointerdown", ({ offsetX, offsetY }) => {
    const far = ([x, y]) => Math.hypot(x - offsetX, y - offsetY);
    const [nearest] = places.sort((a, b) => far(a) - far(b));
    if (!nearest || far(nearest) > 25) return;
    seed.set(nearest[2] + 1);
    worker.postMessage({ shown: nearest[2] });
  });

  function update() {
    if (!latest) return;
    follow();
    const run = latest.runs[latest.shown], { history, done } = latest;
    const counts = OUTCOMES.map((name) => [latest.runs.filter((r) => r.outcome === name).length, name]);
    const told20 = counts.filter(([n]) => n).map(([n, name]) => `${n} ${name}`).join(", ");
    const sigma = 10 ** rate.value * factor.value * (1 + latest.runs[latest.shown].phi);
    const before = `Before the first step: rate × (1 + ‖φ‖₁) = ${sigma.toFixed(3)} half image sides, the most that one step can move θ.`;
    const after = `Training ${latest.shown + 1}, step ${done}: accuracy ${run.accuracy.toFixed(2)}, ` +
      `spread of the view ${run.spread.toFixed(2)} pixels, ${run.outcome}. So far: ${told20}.`;
    told.say(done ? after : before);
    scenes.describe(`Six images with the window on each, and below each what it hands on. ${after}`);
    curves.describe(`Coverage, accuracy and change of θ over ${history.length} looks.`);
    dots.describe(`A dot a training, its accuracy above its outcome: ${told20}.`);
    for (const canvas of [scenes, curves, dots]) canvas.redraw();
  }

  stage.append(
    Widget.sliders(rate.node, seed.node),
    Widget.row(factor.node, warmup.node, schedule.node),
    Widget.row(batch.node, relu.node, play),
    Widget.panels(Widget.tall(scenes.node), Widget.tall(curves.node)),
    Widget.element("div", {}, "Twenty trainings: accuracy, 0 to 1, above what became of each", dots.node),
    told.node,
  );
  begin();

  return { state: () => ({ ...latest, options: options(), running: wanted, working: sent }) };
});
