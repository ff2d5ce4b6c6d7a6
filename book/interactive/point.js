// One point: what a sampler reads at x, and how the value changes when x moves.

"use strict";

Widget.figure("point", (stage) => {
  const ROWS = {
    bright: [0.9, 0.3, 0.8, 0.5, 0.2, 0.7],
    black: [0, 0.3, 0.8, 0.5, 0.2, 0],
  };
  const COUNT = 6, LOW = -2.5, HIGH = COUNT + 1.5; // the axis, in pixels
  const SAMPLERS = { zeros: STN.bilinear, border: STN.bilinear, clipped: STN.clipped };
  let x = -0.5, row = "bright", padding = "zeros", corners = true;

  /** Pixel coordinate of x, and of a pixel coordinate its x. */
  const toPixel = (at) => (corners ? ((at + 1) / 2) * (COUNT - 1) : ((at + 1) * COUNT - 1) / 2);
  const toX = (pixel) => (corners ? (2 * pixel) / (COUNT - 1) - 1 : (2 * pixel + 1) / COUNT - 1);

  /** Value at x, and its derivative by x. */
  function read(at) {
    const point = [corners ? at : (2 * toPixel(at)) / (COUNT - 1) - 1, 0];
    const image = [...ROWS[row], ...ROWS[row], ...ROWS[row]], [out, dx, dy] = [[0], [0], [0]];
    SAMPLERS[padding](image, 3, COUNT, point, out, dx, dy, padding);
    return [out[0], corners ? dx[0] : (dx[0] * COUNT) / (COUNT - 1)];
  }

  const many = () => Array.from({ length: 801 }, (_, k) => toX(LOW + ((HIGH - LOW) * (k + 0.003)) / 800));

  const place = (width) => (pixel) => ((pixel - LOW) / (HIGH - LOW)) * width;
  const values = Widget.canvas({
    label: "", ratio: (width) => (width < 500 ? 0.6 : 0.32), focus: true,
    paint(context, width, height, colour) {
      const at = place(width), y = (value) => height - 24 - value * (height - 44);
      context.fillStyle = colour.card;
      context.fillRect(at(-0.5), 0, at(COUNT - 0.5) - at(-0.5), height - 24);
      ROWS[row].forEach((value, m) => {
        const grey = Math.round(255 * value);
        context.fillStyle = `rgb(${grey},${grey},${grey})`;
        context.fillRect(at(m - 0.5), height - 20, at(1) - at(0), 16);
        context.strokeStyle = colour.muted;
        context.lineWidth = 1;
        context.strokeRect(at(m - 0.5), height - 20, at(1) - at(0), 16);
        Widget.dot(context, at(m), y(value), 4, colour.muted);
      });
      Widget.line(context, many().map((each) => [at(toPixel(each)), y(read(each)[0])]), colour.blue);
      const [value, slope] = read(x), here = at(toPixel(x)), run = 0.6 * (toX(1) - toX(0));
      const end = (by) => [at(toPixel(x + by)), y(value + slope * by)];
      Widget.line(context, [[here, 0], [here, height]], colour.orange, { width: 1 });
      Widget.line(context, [end(-run), end(run)], colour.orange, { width: 3 });
      Widget.dot(context, here, y(value), 7, colour.orange, colour.ground);
      Widget.text(context, "value", 6, 10, colour.blue);
      for (const edge of [-1, 1]) {
        Widget.line(context, [[at(toPixel(edge)), 0], [at(toPixel(edge)), height]], colour.faint, { dash: [4, 4] });
        Widget.text(context, `x = ${edge}`, at(toPixel(edge)), 10, colour.muted, "center", 12);
      }
    },
  });
  const slopes = Widget.canvas({
    label: "", ratio: (width) => (width < 500 ? 0.4 : 0.2),
    paint(context, width, height, colour) {
      const at = place(width), y = (slope) => height / 2 - (slope / 3.4) * (height / 2 - 14);
      Widget.line(context, [[0, y(0)], [width, y(0)]], colour.faint, { width: 1 });
      const points = many().map((each) => [at(toPixel(each)), y(read(each)[1])]);
      Widget.line(context, points, colour.blue);
      Widget.dot(context, at(toPixel(x)), y(read(x)[1]), 7, colour.orange, colour.ground);
      Widget.text(context, "slope, by x", 6, 10, colour.blue);
    },
  });

  const slider = Widget.slider({
    label: "x", min: -2.6, max: 2.6, step: 0.01, value: x, show: (v) => v.toFixed(2),
    change: (value) => ((x = value), update()),
  });
  const paddings = Widget.choice({
    label: "Outside", value: padding,
    options: [["zeros", "zeros"], ["border", "border"], ["clipped", "the clipped sampler"]],
    change: (value) => ((padding = value), update()),
  });
  const rows = Widget.choice({
    label: "Rim", value: row, options: [["bright", "bright"], ["black", "black"]],
    change: (value) => ((row = value), update()),
  });
  const halves = Widget.toggle({
    label: "±1 are the outer edges (align_corners=False)",
    change: (on) => ((corners = !on), update()),
  });
  const told = Widget.live();

  function update() {
    if (padding === "clipped") corners = true; // it knows no other
    halves.set(!corners);
    slider.set(x);
    const [value, slope] = read(x), pixel = toPixel(x);
    const onPixel = Math.abs(pixel - Math.round(pixel)) < 1e-9 && padding !== "clipped";
    const about = slope === 0 ? " No slope: nothing says where to go."
      : onPixel ? " On a pixel’s centre: the slope is that to its right." : "";
    const text = `x = ${x.toFixed(2)}, pixel ${pixel.toFixed(2)}: value ${value.toFixed(3)}, ` +
      `slope ${slope.toFixed(3)}.${about}`;
    told.say(text);
    values.describe(`The value between six pixels. Arrow keys move x. ${text}`);
    slopes.describe(`The slope between six pixels. ${text}`);
    values.redraw();
    slopes.redraw();
  }

  Widget.drag(values.node, {
    along: true,
    move(px) {
      const pixel = LOW + (px / values.node.clientWidth) * (HIGH - LOW);
      x = Math.round(100 * toX(pixel)) / 100;
      update();
    },
    key: (dx) => ((x = Math.round(100 * (x + 0.01 * dx)) / 100), update()),
  });
  stage.append(Widget.row(paddings.node, rows.node), halves.node, values.node, slopes.node,
    Widget.sliders(slider.node), told.node);
  update();

  return {
    state: () => {
      const [value, slope] = read(x);
      return { x, row: ROWS[row], padding, corners, value, slope, pixel: toPixel(x) };
    },
  };
});
