// Branches: a training just before its loss, one change to bet on, and how its branches went on.

"use strict";

Widget.figure("branches", (stage, { autopsies }) => {
  const BETS = { fewer: "fewer are lost", "no difference": "no difference", more: "more are lost" };
  const LOSSES = autopsies.flatMap((autopsy) =>
    autopsy.losses.map((each) => ({ ...each, autopsy })));
  const NONE = { id: "none", label: "nothing changed" };
  const bets = new Map(); // of each autopsy and change: the bet, or null where none was made
  const place = (change) => `${loss.autopsy.name}: ${change.id}`;
  const shown = (change) => change === NONE || bets.has(place(change));
  const of = ([k, n]) => `${k} of ${n}`;
  let loss = LOSSES[0], change = loss.autopsy.changes.at(-1);

  const here = ({ id }) => loss.branches.filter((branch) => branch.id === id);
  const lost = (branches) => [branches.filter((each) => each.lost).length, branches.length];

  function mark(context, x, y, size, isLost, colour) {
    if (!isLost) return Widget.dot(context, x, y, size, colour.blue);
    for (const way of [1, -1]) {
      Widget.line(context, [[x - size, y - way * size], [x + size, y + way * size]], colour.black);
    }
  }

  // ------------------------------------------------------------------- coverage of one loss

  function courses(which) {
    return Widget.canvas({
      label: "", ratio: 0.55,
      paint(context, width, height, colour) {
        const now = which(), left = Math.min(loss.course[0][0], -10), right = 80;
        const x = (step) => 26 + ((step - left) / (right - left)) * (width - 32);
        const y = (coverage) => height - 26 - coverage * (height - 52);
        Widget.text(context, `coverage, ${now.label}`, 4, 9, colour.ink);
        for (const v of [0, 0.5, 1]) {
          Widget.line(context, [[26, y(v)], [width, y(v)]], colour.faint, { width: 1 });
          Widget.text(context, String(v), 22, y(v), colour.muted, "right", 11);
        }
        Widget.line(context, [[x(0), 22], [x(0), height - 18]], colour.muted, { dash: [3, 4] });
        Widget.text(context, "snapshot", x(0), height - 9, colour.muted, "center", 11);
        Widget.text(context, "80 steps on", width - 2, height - 9, colour.muted, "right", 11);
        Widget.line(context, loss.course.map(([step, v]) => [x(step), y(v)]), colour.muted);
        if (!shown(now)) {
          return Widget.text(context, "?", x(40), y(0.5), colour.muted, "center", 40);
        }
        for (const branch of here(now)) {
          const points = branch.course.map((v, k) => [x(1 + 5 * k), y(v)]);
          Widget.line(context, points, branch.lost ? colour.black : colour.blue, { width: 1.5 });
          mark(context, ...points.at(-1), 4, branch.lost, colour);
        }
      },
    });
  }
  const before = courses(() => NONE), after = courses(() => change);

  // ------------------------------------------------------------- all branches of the autopsy

  const rows = () => [NONE, ...loss.autopsy.changes];
  const tall = (width) => (width < 500 ? 38 : 22);

  const board = Widget.canvas({
    label: "", focus: true, ratio: (width) => (rows().length * tall(width) + 4) / width,
    paint(context, width, height, colour) {
      const row = tall(width), narrow = width < 500, left = narrow ? 8 : 0.37 * width;
      rows().forEach((each, k) => {
        const top = k * row + 2;
        if (each === change) {
          context.fillStyle = colour.card;
          context.fillRect(0, top, width, row);
        }
        const open = shown(each), text = top + (narrow ? 10 : row / 2);
        Widget.text(context, each.label, 6, text, colour.ink, "left", narrow ? 12 : 13);
        const share = each === NONE ? loss.autopsy.unchanged : each.lost;
        const said = each === NONE ? "" : `, ${each.judged}`;
        const words = open ? `${of(share)}${said}` : "?";
        const y = top + (narrow ? 27 : row / 2);
        Widget.text(context, words, width - 6, each === NONE ? text : y, colour.muted, "right", 12);
        const room = (narrow ? width - 16 : 0.4 * width) / 30;
        let count = 0;
        for (const other of loss.autopsy.losses) {
          for (const branch of other.branches.filter(({ id }) => id === each.id)) {
            const x = left + (count++ + 0.5) * room;
            if (open) mark(context, x, y, 3.5, branch.lost, colour);
            else Widget.dot(context, x, y, 3, colour.faint);
            if (other.key === loss.key) {
              Widget.line(context, [[x - room / 2, y + 8], [x + room / 2, y + 8]], colour.link);
            }
          }
        }
      });
    },
  });
  Widget.drag(board.node, {
    along: true,
    move: (_, y, first) => {
      const at = Math.floor((y - 2) / tall(board.node.clientWidth)) - 1;
      if (first && at >= 0) choose(loss.autopsy.changes[at] ?? change);
    },
    key: (dx, dy) => {
      const { changes } = loss.autopsy;
      choose(changes[(changes.indexOf(change) + dx + dy + changes.length) % changes.length]);
    },
  });

  // ------------------------------------------------------------------------------ controls

  const which = Widget.list({
    label: "Loss", value: loss.key,
    options: autopsies.map(({ name, losses }) =>
      [name, losses.map(({ key, seed }) => [key, `${name}: seed ${seed}`])]),
    change: (key) => follow(LOSSES.find((each) => each.key === key)),
  });
  const changes = Widget.element("select", {});
  changes.addEventListener("change", () =>
    choose(loss.autopsy.changes.find(({ id }) => id === changes.value)));
  const buttons = Object.entries(BETS).map(([bet, text]) => Widget.button(text, () => {
    if (!bets.has(place(change))) bets.set(place(change), bet);
    update();
  }));
  const all = Widget.button("Show all", () => {
    for (const each of loss.autopsy.changes) if (!shown(each)) bets.set(place(each), null);
    update();
  });
  const anew = Widget.button("Start again", () => (bets.clear(), update()));
  const told = Widget.live();

  function follow(next) {
    loss = next;
    changes.replaceChildren(...loss.autopsy.changes.map(({ id, label }) =>
      Widget.element("option", { value: id }, label)));
    choose(loss.autopsy.changes.find(({ id }) => id === change.id) ?? loss.autopsy.changes[0]);
  }

  function choose(next) {
    change = next;
    changes.value = change.id;
    update();
  }

  function score() {
    const made = [...bets].filter(([, bet]) => bet);
    const judged = new Map(autopsies.flatMap(({ name, changes: every }) =>
      every.map((each) => [`${name}: ${each.id}`, each.judged])));
    return [made.filter(([at, bet]) => judged.get(at) === bet).length, made.length];
  }

  function update() {
    const open = shown(change), bet = bets.get(place(change)), { autopsy } = loss;
    for (const each of buttons) each.ariaDisabled = String(open);
    const seen = autopsy.changes.filter(shown);
    const same = seen.filter(({ judged }) => judged === "no difference").length;
    const text = open
      ? `${change.label}: of this loss’s branches ${of(lost(here(change)))} are lost, of all ` +
        `${of(change.lost)}, with nothing changed ${of(autopsy.unchanged)}; p = ` +
        `${change.holm.toPrecision(2)} after Holm’s correction: ${BETS[change.judged]}` +
        `${change.judged === "no difference" ? " is shown" : ""}.` +
        `${bet ? ` Your bet is ${bet === change.judged ? "right" : "wrong"}.` : ""} ` +
        `Shown: no difference ${of([same, seen.length])}, bets right ${of(score())}.`
      : `${autopsy.name}, seed ${loss.seed}: lost at step ${loss.lost_at}, put back to step ` +
        `${loss.snapshot}. With nothing changed ${of(lost(here(NONE)))} of its branches are lost, ` +
        `of all ${of(autopsy.unchanged)}. Your bet on “${change.label}”?`;
    told.say(text);
    for (const canvas of [before, after]) {
      const now = canvas === before ? NONE : change;
      const words = shown(now) ? `${of(lost(here(now)))} are lost` : "not shown before a bet";
      canvas.describe(`Coverage of branches, ${now.label}: ${words}.`);
    }
    board.describe(`A row a change, a mark a branch. Arrow keys choose a change. ${text}`);
    for (const canvas of [before, after, board]) canvas.redraw();
  }

  const panel = ({ node }) => Widget.element("div", { className: "stn-tall" }, node);
  stage.append(
    Widget.row(which.node,
      Widget.element("label", { className: "stn-list" }, "Change", changes)),
    Widget.row("Your bet:", ...buttons, all, anew),
    told.node,
    Widget.panels(panel(before), panel(after)),
    Widget.element("p", { className: "stn-note" },
      "Grey: the training itself. Dot: still on the image. Cross: lost. " +
      "Below, all losses’ branches; those of this loss are underlined."),
    board.node,
  );
  follow(loss);

  return {
    state: () => ({
      loss: loss.key, change: change.id, shown: shown(change), bet: bets.get(place(change)) ?? null,
      judged: shown(change) ? change.judged : null, lost: shown(change) ? change.lost : null,
      branches: shown(change) ? here(change) : null, score: score(),
      open: loss.autopsy.changes.filter(shown).map(({ id }) => id),
    }),
  };
});
