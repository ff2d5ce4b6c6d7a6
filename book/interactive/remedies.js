// Remedies: each comparison of trainings with and without one, to sort, and the runs of one chosen.

"use strict";

Widget.figure("remedies", (stage, { comparisons }) => {
  const ENTRIES = comparisons.flatMap((comparison) =>
    comparison.remedies.map((remedy) => ({
      ...remedy, comparison, looks: remedy.trainings.filter(([, end]) => end === "looks").length,
    })));
  const places = [...new Set(comparisons.map(({ data }) => data))];
  const byData = (a, b) => places.indexOf(a.comparison.data) - places.indexOf(b.comparison.data);
  const byRate = (a, b) => a.comparison.rate - b.comparison.rate;
  const helps = ({ judged }) => Number(judged === "helps");
  const byEffect = (a, b) => a.difference - b.difference || helps(b) - helps(a) ||
    b.looks / b.lost[1] - a.looks / a.lost[1];
  const ORDERS = {
    effect: [byEffect, byData, byRate],
    data: [byData, byRate, byEffect],
    rate: [byRate, byData, byEffect],
  };
  const of = ([k, n]) => `${k} of ${n}`;
  let order = "effect", place = "all", listed = [], chosen;

  // ---------------------------------------------------------------------------- the entries

  const rows = Widget.element("div", {
    className: "stn-rows", role: "radiogroup", ariaLabel: "Remedies",
  });
  for (const entry of ENTRIES) {
    const { remedy, lost, judged, comparison, trainings } = entry;
    const input = Widget.element("input", { type: "radio", name: "stn-remedy" });
    const dots = Widget.element("span", { ariaHidden: "true" }, ...sorted(trainings).map(
      ([, outcome]) => Widget.mark(outcome)));
    const share = `${of(lost)}, without it ${of(comparison.unchanged.lost)}`;
    entry.input = input;
    entry.node = Widget.element("label", { className: "stn-entry" }, input,
      Widget.element("span", {}, remedy),
      Widget.element("span", {}, `${comparison.data}, ${comparison.rate}`),
      Widget.element("span", {}, share, Widget.element("br"), dots),
      Widget.element("span", { className: judged === "helps" ? "stn-sure" : "" }, judged));
    input.addEventListener("change", () => choose(entry));
  }

  function sorted(trainings) {
    const place = ([, outcome]) => Widget.OUTCOMES.indexOf(outcome);
    return [...trainings].sort((a, b) => place(a) - place(b));
  }

  // ------------------------------------------------------------------------------ the runs

  const runs = Widget.canvas({
    label: "", ratio: (width) => (width < 500 ? 0.75 : 0.32),
    paint(context, width, height, colour) {
      const { remedy, lost, trainings, comparison } = chosen;
      const lane = (height - 22) / 2, x = (accuracy) => 12 + accuracy * (width - 24);
      for (const v of [0, 0.25, 0.5, 0.75, 1]) {
        Widget.line(context, [[x(v), 0], [x(v), height - 20]], colour.faint, { width: 1 });
        const align = v === 0 ? "left" : v === 1 ? "right" : "center";
        const said = v === 1 ? "accuracy 1" : String(v);
        Widget.text(context, said, v === 0 ? 2 : v === 1 ? width - 2 : x(v), height - 10,
          colour.muted, align, 11);
      }
      const { unchanged, sampler } = comparison;
      const without = [`without it (${sampler} sampler)`, unchanged.lost, unchanged.trainings];
      [[remedy, lost, trainings], without].forEach(([name, share, some], half) => {
        const top = half * lane;
        Widget.text(context, `${name}: ${of(share)} lost`, 4, top + 12, colour.ink);
        sorted(some).forEach(([accuracy, outcome], i) => {
          const y = top + 24 + ((i + 0.5) / some.length) * (lane - 30);
          Widget.dot(context, x(accuracy), y, 5, colour[Widget.shade(outcome)], colour.muted);
        });
      });
    },
  });

  // ------------------------------------------------------------------------------ controls

  const sort = Widget.choice({
    label: "Sort by", value: order,
    options: [["effect", "effect"], ["data", "data"], ["rate", "learning rate"]],
    change: (value) => ((order = value), list()),
  });
  const filter = Widget.list({
    label: "Data", value: place, options: [["all", "all"], ...places.map((each) => [each, each])],
    change: (value) => ((place = value), list()),
  });
  const count = Widget.element("span", {});
  const heads = Widget.element("div", { className: "stn-heads", ariaHidden: "true" },
    ...["", "remedy", "data, rate", "lost", "judgement"].map(
      (head) => Widget.element("span", {}, head)));
  const told = Widget.live();

  function list() {
    listed = ENTRIES.filter(({ comparison }) => place === "all" || comparison.data === place);
    listed.sort((a, b) => ORDERS[order].reduce((found, by) => found || by(a, b), 0));
    rows.replaceChildren(...listed.map(({ node }) => node));
    rows.scrollTop = 0;
    const help = listed.filter(helps).length;
    count.textContent = `${help} of ${listed.length} help`;
    choose(listed.includes(chosen) ? chosen : listed[0]);
  }

  function choose(entry) {
    chosen?.node.classList.remove("stn-chosen");
    chosen = entry;
    entry.input.checked = true;
    entry.node.classList.add("stn-chosen");
    const { remedy, lost, trainings, comparison, p, holm, judged } = entry;
    const [, , low, high] = lost.map((value) => value.toFixed(2));
    const text = `${comparison.data}, rate ${comparison.rate}: with ${remedy} ${of(lost)} are ` +
      `lost (95 % interval ${low} to ${high}), without it (${comparison.sampler} sampler) ` +
      `${of(comparison.unchanged.lost)}. ` +
      `Outcomes with it: ${Widget.counted(trainings.map(([, outcome]) => outcome))}. ` +
      `p = ${p.toPrecision(2)} by Fisher’s test, ${holm.toPrecision(2)} after Holm’s ` +
      `correction among ${comparison.remedies.length}: ${judged}.`;
    told.say(text);
    runs.describe(`A dot a training, by its validation accuracy. ${text}`);
    runs.redraw();
  }

  const ends = new Set(ENTRIES.flatMap(({ trainings, comparison }) =>
    [...trainings, ...comparison.unchanged.trainings].map(([, outcome]) => outcome)));
  stage.append(
    Widget.row(sort.node, filter.node, count), heads, rows,
    Widget.key(Widget.OUTCOMES.filter((each) => ends.has(each))), runs.node, told.node,
  );
  list();

  return {
    state: () => {
      const told = ({ remedy, lost, judged, trainings, comparison }) =>
        ({ remedy, lost, judged, trainings, data: comparison.data, rate: comparison.rate });
      return { order, place, chosen: told(chosen), listed: listed.map(told) };
    },
  };
});
