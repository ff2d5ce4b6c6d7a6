// Three switches: every training of the factorial as a dot, under the parts of the recipe it had.

"use strict";

Widget.figure("switches", (stage, { trainings }) => {
  const PARTS = ["warm-up", "cosine", "slow localisation network"];
  const CELLS = Array.from({ length: 8 }, (_, k) => [k & 1, (k >> 1) & 1, (k >> 2) & 1])
    .sort((a, b) => a.reduce((s, v) => s + v) - b.reduce((s, v) => s + v));
  const same = (a, b) => a.every((value, k) => value === b[k]);
  const rates = [...new Set(trainings.map((each) => each.rate))].sort((a, b) => a - b);
  let rate = rates.at(-1), on = [0, 0, 0];

  const here = (cell) => trainings.filter((each) => each.rate === rate && same(each.switches, cell));

  const dots = Widget.canvas({
    label: "", ratio: (width) => (width < 500 ? 0.9 : 0.42), focus: true,
    paint(context, width, height, colour) {
      const cell = width / 8, y = (accuracy) => height - 64 - accuracy * (height - 88);
      const chosen = CELLS.findIndex((each) => same(each, on));
      context.fillStyle = colour.card;
      context.fillRect(chosen * cell, 0, cell, height);
      for (const v of [0, 0.5, 1]) {
        Widget.line(context, [[0, y(v)], [width, y(v)]], colour.faint, { width: 1 });
        Widget.text(context, v === 1 ? "accuracy 1" : String(v), 4, y(v) - 8, colour.muted, "left", 11);
      }
      CELLS.forEach((switches, k) => {
        const middle = (k + 0.5) * cell;
        const found = here(switches);
        found.forEach(({ accuracy, outcome }, i) => {
          const shade = colour[Widget.shade(outcome)];
          const at = middle + ((i + 0.5) / found.length - 0.5) * 0.7 * cell;
          Widget.dot(context, at, y(accuracy), width < 500 ? 4 : 6, shade, colour.muted);
        });
        switches.forEach((value, part) => {
          const at = height - 50 + 18 * part;
          Widget.dot(context, middle, at, 5, value ? colour.link : colour.faint);
        });
      });
    },
  });
  const switches = PARTS.map((label, k) => Widget.toggle({
    label, change: (value) => ((on = on.map((now, i) => (i === k ? Number(value) : now))), update()),
  }));
  const choice = Widget.choice({
    label: "Rate", value: rate, options: rates.map((value) => [value, String(value)]),
    change: (value) => ((rate = value), update()),
  });
  const key = Widget.key(Widget.OUTCOMES.filter((each) => each !== "point"));
  const told = Widget.live();

  function choose(cell) {
    on = [...cell];
    switches.forEach((each, k) => each.set(Boolean(on[k])));
    update();
  }

  function update() {
    const found = here(on), names = PARTS.filter((_, k) => on[k]).join(" + ") || "no part";
    const words = Widget.counted(found.map(({ outcome }) => outcome));
    const mean = found.reduce((sum, each) => sum + each.accuracy, 0) / found.length;
    const text = `Rate ${rate}, ${names}: of ${found.length} trainings ${words}; ` +
      `mean accuracy ${mean.toFixed(2)}.`;
    told.say(text);
    dots.describe(`A dot a training, its accuracy under each of eight settings. Arrow keys choose. ${text}`);
    dots.redraw();
  }

  Widget.drag(dots.node, {
    along: true,
    move: (x) => choose(CELLS[Math.min(Math.max(Math.floor((x / dots.node.clientWidth) * 8), 0), 7)]),
    key: (dx) => choose(CELLS[(CELLS.findIndex((cell) => same(cell, on)) + dx + 8) % 8]),
  });
  stage.append(
    Widget.row(choice.node, ...switches.map((each) => each.node)), dots.node,
    Widget.element("p", { className: "stn-note" },
      "Below each column, from the top: warm-up, cosine, slow localisation network; filled where it is on."),
    key, told.node,
  );
  choose([0, 0, 0]);

  return {
    state: () => ({ rate, switches: [...on], trainings: here(on) }),
  };
});
