// What every interactive figure shares: its place in the page, controls, canvases, play, theme.
//
// A figure is one file that calls Widget.figure(name, build). `build` is given the stage, to be
// filled, and the figure's data, and returns { state }. The element has what `state` returns as its
// property stnState.
// Nothing is drawn or run while a figure is off screen.

globalThis.Widget = (function () {
  "use strict";

  const still = matchMedia("(prefers-reduced-motion: reduce)");

  /** An element with properties or attributes, and children. */
  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node && name !== "role") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  /** Put `build` into each place of the page that asks for the figure. */
  function figure(name, build) {
    for (const place of document.querySelectorAll(`figure.interactive-${name}`)) {
      const stage = element("div", { className: "stn-stage" });
      place.insertBefore(stage, place.querySelector("figcaption"));
      const given = [...place.classList].find((each) => each.startsWith("interactive-data-"));
      const built = build(stage, globalThis.STN_DATA?.[given.slice("interactive-data-".length)]);
      place.classList.add("stn-live"); // from here on the picture is hidden
      Object.defineProperty(place, "stnState", { get: built.state });
    }
  }

  // ------------------------------------------------------------------------------ controls

  let count = 0;

  /** A native slider. `show` makes text of its value; `change` is told each new value. */
  function slider({ label, min, max, step, value, show = String, change = () => {} }) {
    const output = element("output", {});
    const id = `stn-control-${++count}`;
    const input = element("input", { type: "range", min, max, step, id, value });
    const told = () => {
      output.textContent = show(Number(input.value));
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => {
      told();
      change(Number(input.value));
    });
    told();
    const name = element("label", { htmlFor: id }, label);
    return {
      node: element("div", { className: "stn-slider" }, name, input, output),
      get value() {
        return Number(input.value);
      },
      set(next) {
        input.value = next;
        told();
      },
      limits(low, high) {
        input.min = low;
        input.max = high;
        told();
      },
    };
  }

  /** One of several, as native radio buttons. `options` are [value, text]. */
  function choice({ label, options, value, change = () => {} }) {
    const group = `stn-control-${++count}`;
    const buttons = options.map(([each, text]) => {
      const input = element("input", { type: "radio", name: group, checked: each === value });
      input.addEventListener("change", () => change((now = each)));
      return [each, input, element("label", {}, input, element("span", {}, text))];
    });
    let now = value;
    const legend = element("legend", {}, label);
    const labels = buttons.map(([, , node]) => node);
    return {
      node: element("fieldset", { className: "stn-choice" }, legend, ...labels),
      get value() {
        return now;
      },
      set(next) {
        now = next;
        for (const [each, input] of buttons) input.checked = each === next;
      },
    };
  }

  /** One of many, as a native list. `options` are [value, text], or [group, options]. */
  function list({ label, options, value, change = () => {} }) {
    const option = ([each, text]) => element("option", { value: each }, text);
    const items = options.map(([name, inner]) =>
      Array.isArray(inner)
        ? element("optgroup", { label: name }, ...inner.map(option))
        : option([name, inner]));
    const select = element("select", {}, ...items);
    select.value = value;
    select.addEventListener("change", () => change(select.value));
    return {
      node: element("label", { className: "stn-list" }, label, select),
      get value() {
        return select.value;
      },
      set(next) {
        select.value = next;
      },
    };
  }

  /** On or off, as a native checkbox. */
  function toggle({ label, value = false, change = () => {} }) {
    const input = element("input", { type: "checkbox", checked: value });
    input.addEventListener("change", () => change(input.checked));
    return {
      node: element("label", { className: "stn-toggle" }, input, label),
      get value() {
        return input.checked;
      },
      set(next) {
        input.checked = next;
      },
    };
  }

  function button(text, press) {
    const node = element("button", { type: "button", className: "stn-button" }, text);
    node.addEventListener("click", press);
    return node;
  }

  const box = (name) => (...children) => element("div", { className: name }, ...children);
  const row = box("stn-row"), panels = box("stn-panels"), sliders = box("stn-sliders");
  const tall = box("stn-tall"); // a panel that needs a phone's whole width

  /** A line of numbers that a screen reader reads out when it comes to rest. */
  function live() {
    const shown = element("p", { className: "stn-live-text" });
    const spoken = element("p", { className: "stn-spoken", role: "status", ariaLive: "polite" });
    let timer = 0;
    return {
      node: element("div", {}, shown, spoken),
      say(text) {
        shown.textContent = text;
        clearTimeout(timer);
        timer = setTimeout(() => (spoken.textContent = text), 700);
      },
    };
  }

  // ------------------------------------------------------------------- canvases and colours

  const canvases = new Set();

  /** The stage's colours, as the style sheet has them for the theme that is on. */
  function colours(node) {
    const style = getComputedStyle(node);
    return new Proxy({}, {
      get: (_, name) => style.getPropertyValue(`--stn-${name}`).trim(),
    });
  }

  // The theme sets its attribute after deferred scripts have run.
  new MutationObserver(() => canvases.forEach((canvas) => canvas.redraw())).observe(
    document.documentElement,
    { attributes: true, attributeFilter: ["data-theme"] },
  );

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      target.stnVisible = isIntersecting;
      if (isIntersecting) target.stnShown();
    }
  });

  /** Call `shown` whenever an element comes into view; `visible(node)` says whether it is. */
  function watch(node, shown) {
    node.stnShown = shown;
    watcher.observe(node);
  }

  const visible = (node) => node.stnVisible === true;

  /** What becomes of a transformer, and the name of its colour. */
  const OUTCOMES = ["looks", "idle", "shrunken", "point", "blind", "black", "at chance"];
  const shade = (outcome) => (outcome === "at chance" ? "chance" : outcome);

  /** A dot in an outcome's colour, for text. */
  function mark(outcome) {
    const node = element("span", { className: "stn-mark" });
    node.style.background = `var(--stn-${shade(outcome)})`;
    return node;
  }

  /** What the colours of some outcomes mean. */
  function key(outcomes) {
    const node = element("p", { className: "stn-note" });
    for (const outcome of outcomes) {
      node.append(element("span", { className: "stn-pair" }, mark(outcome), outcome), " ");
    }
    return node;
  }

  /** How many there are of each outcome, in words. */
  function counted(outcomes) {
    return OUTCOMES.map((each) => [outcomes.filter((one) => one === each).length, each])
      .filter(([n]) => n).map(([n, each]) => `${n} ${each}`).join(", ");
  }

  /**
   * A canvas as wide as its place and `ratio` times as high, sharp on every screen; `ratio` may be
   * a function of the width.
   * paint(context, width, height, colours) draws it, in CSS pixels.
   */
  function canvas({ label, ratio, paint, focus = false }) {
    const node = element("canvas", { role: "img", className: "stn-canvas" });
    node.setAttribute("aria-label", label);
    if (focus) node.tabIndex = 0;
    let waiting = false;
    const made = {
      node,
      redraw() {
        if (waiting || !visible(node)) return;
        waiting = true;
        requestAnimationFrame(() => {
          waiting = false;
          made.draw();
        });
      },
      /** Take up the room before anything is drawn, so that the page does not jump later. */
      fit() {
        const width = node.clientWidth;
        const height = Math.round(width * (ratio instanceof Function ? ratio(width) : ratio));
        if (width) node.style.height = `${height}px`;
        return [width, height];
      },
      draw() {
        const [width, height] = made.fit();
        const dots = globalThis.devicePixelRatio || 1;
        if (!width) return;
        if (node.width !== Math.round(width * dots) || node.height !== Math.round(height * dots)) {
          node.width = Math.round(width * dots);
          node.height = Math.round(height * dots);
        }
        const context = node.getContext("2d");
        context.setTransform(dots, 0, 0, dots, 0, 0);
        context.clearRect(0, 0, width, height);
        context.font = "13px system-ui, sans-serif";
        paint(context, width, height, colours(node));
      },
      describe: (text) => node.setAttribute("aria-label", text),
    };
    canvases.add(made);
    watch(node, made.redraw);
    new ResizeObserver(() => (made.fit(), made.redraw())).observe(node);
    return made;
  }

  /** Grey pixels, 0 black and 1 white, in a square of the canvas. */
  function picture(context, pixels, height, width, x, y, size) {
    const image = new ImageData(width, height);
    for (let p = 0; p < height * width; p++) {
      const grey = 255 * Math.min(Math.max(pixels[p], 0), 1);
      image.data.set([grey, grey, grey, 255], 4 * p);
    }
    const small = element("canvas", { width, height });
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, x, y, size, (size * height) / width);
  }

  /** A line through points (x, y), closed where asked. */
  function line(context, points, colour, { width = 2, close = false, dash = [] } = {}) {
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (close) context.closePath();
    context.setLineDash(dash);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
    context.setLineDash([]);
  }

  function dot(context, x, y, radius, colour, edge) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    if (!edge) return;
    context.strokeStyle = edge;
    context.lineWidth = 1.5;
    context.stroke();
  }

  function text(context, words, x, y, colour, align = "left", size = 13) {
    context.font = `${size}px system-ui, sans-serif`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillStyle = colour;
    context.fillText(words, x, y);
  }

  /**
   * Drag with mouse, finger or pen, or move with the arrow keys.
   * move(x, y, first) is told the place in CSS pixels; key(dx, dy, event) a step of ±1. Where only
   * x counts, a finger that moves up or down still scrolls the page.
   */
  function drag(node, { move, key = () => {}, along = false }) {
    const place = (event) => {
      const box = node.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let held = false;
    node.classList.add("stn-drag");
    if (along) node.classList.add("stn-along");
    node.addEventListener("pointerdown", (event) => {
      held = true;
      node.setPointerCapture(event.pointerId);
      move(...place(event), true);
    });
    node.addEventListener("pointermove", (event) => held && move(...place(event), false));
    for (const end of ["pointerup", "pointercancel"]) {
      node.addEventListener(end, () => (held = false));
    }
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    node.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (step) key(...step, event);
      if (step) event.preventDefault();
    });
  }

  /**
   * Play, pause and scrub over `length` frames; show(frame) draws one. It waits while off screen,
   * and begins by itself only where the reader's system allows motion.
   */
  function player({ label, length, rate, show, autoplay = false }) {
    let frame = 0, running = false, before = 0, total = length;
    const scrub = slider({
      label, min: 0, max: length - 1, step: 1, value: 0, show: (value) => String(value + 1),
      change: (value) => {
        pause();
        go(value);
      },
    });
    const play = button("Play", () => (running ? pause() : start()));
    const back = button("‹", () => jump(-1)), on = button("›", () => jump(1));
    back.ariaLabel = "One step back";
    on.ariaLabel = "One step on";
    function go(to) {
      frame = to;
      scrub.set(Math.floor(to));
      show(Math.floor(to));
    }
    function jump(by) {
      pause();
      go(Math.min(Math.max(Math.floor(frame) + by, 0), total - 1));
    }
    function pause() {
      running = false;
      play.textContent = "Play";
    }
    function start() {
      if (frame >= total - 1) go(0);
      running = true;
      play.textContent = "Pause";
      before = performance.now();
      requestAnimationFrame(tick);
    }
    function tick(now) {
      if (!running) return;
      if (!visible(node)) return; // goes on when it is seen again
      // A frame's time may lie before the press of the button.
      const next = frame + (Math.max(now - before, 0) / 1000) * rate;
      before = now;
      if (next >= total - 1) {
        pause();
        return go(total - 1);
      }
      go(next);
      requestAnimationFrame(tick);
    }
    const node = row(play, back, on, scrub.node);
    node.classList.add("stn-player");
    let first = true;
    watch(node, () => {
      if (first && autoplay && !still.matches) start();
      else if (running) start();
      first = false;
    });
    return {
      node, go, pause, start,
      get frame() {
        return Math.floor(frame);
      },
      get running() {
        return running;
      },
      resize(next, nextRate = rate) {
        total = next;
        rate = nextRate;
        scrub.limits(0, next - 1);
        if (frame > next - 1) go(next - 1);
      },
    };
  }

  // ----------------------------------------------------------------------------------- data

  /** Bytes of base64. */
  const bytes = (code) => Uint8Array.from(atob(code), (letter) => letter.charCodeAt(0));

  /** Half-precision numbers of base64. */
  function halves(code) {
    const all = bytes(code), out = new Float64Array(all.length / 2);
    for (let k = 0; k < out.length; k++) {
      const bits = all[2 * k] | (all[2 * k + 1] << 8);
      const exponent = (bits >> 10) & 31, share = bits & 1023;
      const size = exponent ? (1 + share / 1024) * 2 ** (exponent - 15) : share * 2 ** -24;
      out[k] = bits >> 15 ? -size : size;
    }
    return out;
  }

  return {
    element, figure, slider, choice, list, toggle, button, row, panels, tall, sliders, live, canvas, picture, line, dot,
    OUTCOMES, shade, mark, key, counted, text, drag, player, watch, visible, bytes, halves, still,
  };
})();
