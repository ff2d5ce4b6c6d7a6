// The arithmetic of a spatial transformer, for every interactive figure of the book.
//
// tests/interactive/test_numerics.py holds each function to stnlib, to 1e-5.
//
// Convention: θ maps points of the output to the points of the input that they are read from.
// A point is (x, y), x to the right and y down; -1 and 1 are the centres of the outermost pixels.
// An image is a flat array, row by row. A grid is a flat array x, y, x, y, … of the output's
// pixels, row by row. θ of an affine transform is [a, b, tx, c, d, ty].
//
// A worker cannot load this file from file://, so it is built from STN.source, the text of the
// function below.

globalThis.STN = (function make() {
  "use strict";

  const IDENTITY = [1, 0, 0, 0, 1, 0];
  const HORIZON = 1e-6;

  /** n points from -1 to 1; 0 where there is one. */
  function axis(n) {
    return Float64Array.from({ length: n }, (_, i) => (n === 1 ? 0 : (2 * i) / (n - 1) - 1));
  }

  // ------------------------------------------------------------------ families and grids

  /** θ of each family that has a matrix → the matrix, nine numbers, row by row. */
  const MATRICES = {
    translation: ([x, y]) => [1, 0, x, 0, 1, y, 0, 0, 1],
    attention: ([s, x, y]) => [s, 0, x, 0, s, y, 0, 0, 1],
    similarity: ([a, b, x, y]) => [a, -b, x, b, a, y, 0, 0, 1],
    affine: (theta) => [...theta, 0, 0, 1],
    projective: (theta) => [...theta, 1],
  };

  /** Where a matrix of nine numbers sends a point. */
  function apply(m, x, y) {
    let w = m[6] * x + m[7] * y + m[8];
    w = w < 0 ? Math.min(w, -HORIZON) : Math.max(w, HORIZON);
    return [(m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w];
  }

  /** The grid of a matrix, for an output of height × width. */
  function matrixGrid(m, height, width) {
    const xs = axis(width), ys = axis(height), grid = new Float64Array(2 * height * width);
    let k = 0;
    for (const y of ys) {
      for (const x of xs) {
        [grid[k], grid[k + 1]] = apply(m, x, y);
        k += 2;
      }
    }
    return grid;
  }

  /** The grid of an affine θ. */
  function affineGrid(theta, height, width) {
    const [a, b, tx, c, d, ty] = theta;
    const xs = axis(width), ys = axis(height), grid = new Float64Array(2 * height * width);
    let k = 0;
    for (const y of ys) {
      for (const x of xs) {
        grid[k++] = a * x + b * y + tx;
        grid[k++] = c * x + d * y + ty;
      }
    }
    return grid;
  }

  /** r² log r² of every control point, then 1, x and y: what a spline is a sum of. */
  function splineBasis(x, y, control) {
    const row = [];
    for (let k = 0; k < control.length; k += 2) {
      const r2 = (x - control[k]) ** 2 + (y - control[k + 1]) ** 2;
      row.push(r2 > 0 ? r2 * Math.log(r2) : 0);
    }
    return [...row, 1, x, y];
  }

  /** Solve the square system A X = B by Gaussian elimination; both are arrays of rows. */
  function solve(A, B) {
    const rows = A.map((row, i) => [...row, ...B[i]]), n = A.length;
    for (let i = 0; i < n; i++) {
      let pivot = i;
      for (let j = i; j < n; j++) if (Math.abs(rows[j][i]) > Math.abs(rows[pivot][i])) pivot = j;
      [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
      for (let j = 0; j < n; j++) {
        const factor = rows[j][i] / rows[i][i];
        if (j === i || factor === 0) continue;
        for (let k = i; k < rows[j].length; k++) rows[j][k] -= factor * rows[i][k];
      }
    }
    return rows.map((row, i) => row.slice(n).map((value) => value / row[i]));
  }

  /** A thin-plate spline with rows × columns control points: θ → grid. */
  function spline(rows, columns, height, width) {
    const control = matrixGrid(MATRICES.affine(IDENTITY), rows, columns), count = rows * columns;
    const system = [], unit = [];
    for (let k = 0; k < count; k++) {
      system.push(splineBasis(control[2 * k], control[2 * k + 1], control));
    }
    for (let i = 0; i < 3; i++) {
      system.push([...system.slice(0, count).map((row) => row[count + i]), 0, 0, 0]);
    }
    for (let k = 0; k < count + 3; k++) {
      unit.push(Array.from({ length: count }, (_, i) => (i === k ? 1 : 0)));
    }
    const weights = solve(system, unit);
    const base = affineGrid(IDENTITY, height, width), pixels = height * width;
    const influence = new Float64Array(pixels * count); // of a control point on a pixel
    for (let p = 0; p < pixels; p++) {
      const basis = splineBasis(base[2 * p], base[2 * p + 1], control);
      for (let k = 0; k < count; k++) {
        influence[p * count + k] = basis.reduce((sum, b, i) => sum + b * weights[i][k], 0);
      }
    }
    return {
      control, influence,
      grid(theta) {
        const grid = base.slice();
        for (let p = 0; p < pixels; p++) {
          for (let k = 0; k < count; k++) {
            grid[2 * p] += influence[p * count + k] * theta[2 * k];
            grid[2 * p + 1] += influence[p * count + k] * theta[2 * k + 1];
          }
        }
        return grid;
      },
    };
  }

  // ------------------------------------------------------------------------------ samplers

  /**
   * Read an image at the points of a grid, as PyTorch's grid_sample does.
   * `dx` and `dy`, where given, take the derivatives of each value by its point's x and y.
   */
  function bilinear(image, height, width, grid, out, dx, dy, padding = "zeros") {
    const halfX = (width - 1) / 2, halfY = (height - 1) / 2, border = padding === "border";
    for (let p = 0; p < out.length; p++) {
      let x = (grid[2 * p] + 1) * halfX, y = (grid[2 * p + 1] + 1) * halfY;
      const heldX = border && (x < 0 || x > width - 1);
      const heldY = border && (y < 0 || y > height - 1);
      if (heldX) x = x < 0 ? 0 : width - 1;
      if (heldY) y = y < 0 ? 0 : height - 1;
      const m = Math.floor(x), n = Math.floor(y), u = x - m, v = y - n;
      const left = m >= 0 && m < width, right = m >= -1 && m < width - 1;
      const top = n >= 0 && n < height, bottom = n >= -1 && n < height - 1;
      const at = n * width + m;
      const a = top && left ? image[at] : 0, b = top && right ? image[at + 1] : 0;
      const c = bottom && left ? image[at + width] : 0;
      const d = bottom && right ? image[at + width + 1] : 0;
      out[p] = (1 - v) * (a + u * (b - a)) + v * (c + u * (d - c));
      if (dx) {
        dx[p] = heldX ? 0 : halfX * ((1 - v) * (b - a) + v * (d - c));
        dy[p] = heldY ? 0 : halfY * ((1 - u) * (c - a) + u * (d - b));
      }
    }
    return out;
  }

  /** The historical sampler: corners are clipped to the image, weights come from what is left. */
  function clipped(image, height, width, grid, out, dx, dy) {
    const clip = (value, top) => Math.min(Math.max(value, 0), top);
    for (let p = 0; p < out.length; p++) {
      const x = 0.5 * (grid[2 * p] + 1) * width, y = 0.5 * (grid[2 * p + 1] + 1) * height;
      const m = Math.floor(x), n = Math.floor(y);
      const x0 = clip(m, width - 1), x1 = clip(m + 1, width - 1);
      const y0 = clip(n, height - 1), y1 = clip(n + 1, height - 1);
      const a = image[y0 * width + x0], b = image[y0 * width + x1];
      const c = image[y1 * width + x0], d = image[y1 * width + x1];
      out[p] = (y1 - y) * ((x1 - x) * a + (x - x0) * b) + (y - y0) * ((x1 - x) * c + (x - x0) * d);
      if (dx) {
        dx[p] = (width / 2) * ((y1 - y) * (b - a) + (y - y0) * (d - c));
        dy[p] = (height / 2) * ((x1 - x) * (c - a) + (x - x0) * (d - b));
      }
    }
    return out;
  }

  const SAMPLERS = { bilinear, clipped };

  // --------------------------------------------------------------------- what a view shows

  /** Share of the output's area whose point lies inside the image; exact, for an affine θ. */
  function coverage(theta) {
    if (!theta.every(Number.isFinite)) return 0;
    let polygon = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
    for (const row of [theta.slice(0, 3), theta.slice(3, 6)]) {
      for (const sign of [1, -1]) {
        const inside = ([x, y]) => 1 - sign * (row[0] * x + row[1] * y + row[2]);
        polygon = polygon.flatMap((point, i) => {
          const next = polygon[(i + 1) % polygon.length], here = inside(point);
          const there = inside(next), kept = here >= 0 ? [point] : [];
          if (here >= 0 === there >= 0) return kept;
          const share = here / (here - there);
          return [...kept, point.map((value, k) => value + share * (next[k] - value))];
        });
      }
    }
    const doubled = polygon.reduce((sum, [x, y], i) => {
      const [u, v] = polygon[(i + 1) % polygon.length];
      return sum + x * v - u * y;
    }, 0);
    return Math.abs(doubled) / 8;
  }

  /** Share of a grid's points that lie inside the image. */
  function gridCoverage(grid) {
    let inside = 0;
    for (let k = 0; k < grid.length; k += 2) {
      inside += Math.abs(grid[k]) <= 1 && Math.abs(grid[k + 1]) <= 1;
    }
    return (2 * inside) / grid.length;
  }

  /** The corners of an affine view, clockwise from the top left. */
  function corners([a, b, tx, c, d, ty]) {
    const signs = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
    return signs.map(([x, y]) => [a * x + b * y + tx, c * x + d * y + ty]);
  }

  /** Scale, rotation in degrees, and shift of an affine θ. */
  function decompose([a, b, tx, c, d, ty]) {
    const rotation = (Math.atan2(c, a) * 180) / Math.PI;
    return { scale: Math.sqrt(Math.abs(a * d - b * c)), rotation, tx, ty };
  }

  // ------------------------------------------------------------------------------ networks

  /** Maximum over squares of two, the odd row and column left out. */
  function pool({ data, channels, height, width }) {
    const h = height >> 1, w = width >> 1, out = new Float64Array(channels * h * w);
    for (let c = 0, k = 0; c < channels; c++) {
      for (let i = 0; i < h; i++) {
        for (let j = 0; j < w; j++, k++) {
          const at = (c * height + 2 * i) * width + 2 * j;
          out[k] = Math.max(data[at], data[at + 1], data[at + width], data[at + width + 1]);
        }
      }
    }
    return { data: out, channels, height: h, width: w };
  }

  /** A convolution without padding; weights are [out][in][row][column]. */
  function convolve({ data, channels, height, width }, { weight, bias, size }) {
    const h = height - size + 1, w = width - size + 1, out = new Float64Array(bias.length * h * w);
    for (let o = 0; o < bias.length; o++) {
      out.fill(bias[o], o * h * w, (o + 1) * h * w);
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < size; i++) {
          for (let j = 0; j < size; j++) {
            const factor = weight[((o * channels + c) * size + i) * size + j];
            for (let y = 0; y < h; y++) {
              const from = (c * height + y + i) * width + j, to = (o * h + y) * w;
              for (let x = 0; x < w; x++) out[to + x] += factor * data[from + x];
            }
          }
        }
      }
    }
    return { data: out, channels: bias.length, height: h, width: w };
  }

  /** W x + b; weights are [out][in]. */
  function dense({ data }, { weight, bias }) {
    const out = Float64Array.from(bias, (value, o) => {
      for (let i = 0, at = o * data.length; i < data.length; i++) value += weight[at + i] * data[i];
      return value;
    });
    return { data: out, channels: out.length, height: 1, width: 1 };
  }

  const relu = (input) => ({ ...input, data: input.data.map((value) => Math.max(value, 0)) });

  const LAYERS = { pool, convolve, dense, relu };

  /**
   * Run layers, such as a localisation network's or a classifier's, on one image.
   * Each layer is { kind: "pool" | "convolve" | "dense" | "relu", and its weights }.
   */
  function forward(layers, data, channels, height, width) {
    const run = (input, layer) => LAYERS[layer.kind](input, layer);
    return layers.reduce(run, { data, channels, height, width }).data;
  }

  // ------------------------------------------------------- a small transformer that learns

  /** Random numbers in [0, 1) from a seed: mulberry32. */
  function random(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** Learning rate's factor when a share of all steps is done: as stnlib.optim.schedule. */
  function schedule(name, progress, warmup) {
    if (progress < warmup) return progress / warmup;
    const rest = (Math.min(progress, 1) - warmup) / (1 - warmup);
    return name === "cosine" ? 0.5 * (1 + Math.cos(Math.PI * rest)) : 1;
  }

  /**
   * A spatial transformer before a classifier, each with one hidden layer, for side × side pixels.
   * Localisation: dense, ReLU (or none), dense → θ, at first the identity. Affine grid, bilinear
   * sampler. Classifier: dense, ReLU, dense → scores. Weights begin as Glorot has
   * them, as the book's networks' do.
   * The first weights of both are stored [pixel][unit]: pixels that are 0, most, cost nothing.
   */
  function smallNetwork({ side = 16, features = 32, hidden = 64, classes = 10, relu = true, seed }) {
    const P = side * side, draw = random(seed);
    const shapes = [[P, features], [features], [6, features], [6]];
    const localisation = shapes.reduce((sum, [n, m = 1]) => sum + n * m, 0); // its parameters
    shapes.push([P, hidden], [hidden], [classes, hidden], [classes]);
    const total = shapes.reduce((sum, [n, m = 1]) => sum + n * m, 0);
    const values = new Float64Array(total), gradient = new Float64Array(total);
    const mean = new Float64Array(total), square = new Float64Array(total);
    const views = (flat) => {
      let start = 0;
      return shapes.map(([n, m = 1]) => flat.subarray(start, (start += n * m)));
    };
    const [W1, b1, W2, b2, W3, b3, W4, b4] = views(values);
    const [dW1, db1, dW2, db2, dW3, db3, dW4, db4] = views(gradient);
    for (const [W, ends] of [[W1, P + features], [W3, P + hidden], [W4, hidden + classes]]) {
      for (let k = 0; k < W.length; k++) W[k] = (2 * draw() - 1) * Math.sqrt(6 / ends);
    }
    b2.set(IDENTITY);

    const phi = new Float64Array(features), theta = new Float64Array(6);
    const view = new Float64Array(P), dx = new Float64Array(P), dy = new Float64Array(P);
    const state = new Float64Array(hidden), scores = new Float64Array(classes);
    const dState = new Float64Array(hidden), dPhi = new Float64Array(features);
    const dTheta = new Float64Array(6), on = new Int32Array(hidden); // classifier's active units
    const base = affineGrid(IDENTITY, side, side), grid = new Float64Array(2 * P);
    const lit = new Int32Array(P); // pixels that are not 0
    let count = 0;

    /** θ, view and scores of one image, which starts at `at` in `images`. */
    function look(images, at) {
      count = 0;
      for (let p = 0; p < P; p++) if (images[at + p] !== 0) lit[count++] = p;
      phi.set(b1);
      for (let i = 0; i < count; i++) {
        const value = images[at + lit[i]];
        for (let j = 0, w = lit[i] * features; j < features; j++, w++) phi[j] += W1[w] * value;
      }
      if (relu) for (let j = 0; j < features; j++) if (phi[j] < 0) phi[j] = 0;
      for (let k = 0; k < 6; k++) {
        let sum = b2[k];
        for (let j = 0; j < features; j++) sum += W2[k * features + j] * phi[j];
        theta[k] = sum;
      }
      const [a, b, tx, c, d, ty] = theta;
      for (let p = 0; p < P; p++) {
        grid[2 * p] = a * base[2 * p] + b * base[2 * p + 1] + tx;
        grid[2 * p + 1] = c * base[2 * p] + d * base[2 * p + 1] + ty;
      }
      bilinear(images.subarray(at, at + P), side, side, grid, view, dx, dy);
      state.set(b3);
      for (let p = 0; p < P; p++) {
        const value = view[p];
        if (value === 0) continue;
        for (let k = 0, w = p * hidden; k < hidden; k++, w++) state[k] += W3[w] * value;
      }
      for (let k = 0; k < hidden; k++) if (state[k] < 0) state[k] = 0;
      let best = 0;
      for (let k = 0; k < classes; k++) {
        let sum = b4[k];
        for (let j = 0; j < hidden; j++) sum += W4[k * hidden + j] * state[j];
        scores[k] = sum;
        if (sum > scores[best]) best = k;
      }
      return best;
    }

    /** Add one image's share of the loss's gradient to `gradient`; return its loss. */
    function learn(images, at, label, share) {
      const top = scores.reduce((a, b) => Math.max(a, b));
      const sum = scores.reduce((total, score) => total + Math.exp(score - top), 0);
      const loss = Math.log(sum) - scores[label] + top;
      for (let k = 0; k < classes; k++) {
        scores[k] = share * (Math.exp(scores[k] - top) / sum - (k === label ? 1 : 0));
        db4[k] += scores[k];
      }
      let active = 0;
      for (let j = 0; j < hidden; j++) {
        if (state[j] === 0) continue; // its ReLU lets nothing pass
        let d = 0;
        for (let k = 0; k < classes; k++) {
          dW4[k * hidden + j] += scores[k] * state[j];
          d += scores[k] * W4[k * hidden + j];
        }
        db3[j] += d;
        dState[active] = d;
        on[active++] = j;
      }
      dTheta.fill(0);
      for (let p = 0; p < P; p++) {
        const value = view[p], start = p * hidden;
        if (value !== 0) for (let i = 0; i < active; i++) dW3[start + on[i]] += dState[i] * value;
        if (dx[p] === 0 && dy[p] === 0) continue;
        let d = 0;
        for (let i = 0; i < active; i++) d += dState[i] * W3[start + on[i]];
        const gx = d * dx[p], gy = d * dy[p];
        const x = base[2 * p], y = base[2 * p + 1];
        dTheta[0] += gx * x;
        dTheta[1] += gx * y;
        dTheta[2] += gx;
        dTheta[3] += gy * x;
        dTheta[4] += gy * y;
        dTheta[5] += gy;
      }
      dPhi.fill(0);
      for (let k = 0; k < 6; k++) {
        db2[k] += dTheta[k];
        for (let j = 0; j < features; j++) {
          dW2[k * features + j] += dTheta[k] * phi[j];
          dPhi[j] += dTheta[k] * W2[k * features + j];
        }
      }
      for (let j = 0; j < features; j++) {
        if (relu && phi[j] === 0) dPhi[j] = 0;
        db1[j] += dPhi[j];
      }
      for (let i = 0; i < count; i++) {
        const value = images[at + lit[i]];
        for (let j = 0, w = lit[i] * features; j < features; j++, w++) dW1[w] += dPhi[j] * value;
      }
      return loss;
    }

    let steps = 0;

    return {
      values, gradient, localisation, phi, theta, view, scores, side, look,

      /** Loss and accuracy of a batch, its gradient in `gradient`. */
      differentiate(images, labels) {
        gradient.fill(0);
        let loss = 0, right = 0, size = 0;
        for (let i = 0; i < labels.length; i++) {
          right += look(images, i * P) === labels[i];
          for (let j = 0; j < features; j++) size += Math.abs(phi[j]);
          loss += learn(images, i * P, labels[i], 1 / labels.length);
        }
        const n = labels.length;
        return { loss: loss / n, accuracy: right / n, phi: size / n };
      },

      /** A step of Adam, with a rate for the localisation network and one for the classifier. */
      adam(rateLocalisation, rateClassifier) {
        const first = 1 - 0.9 ** ++steps, second = Math.sqrt(1 - 0.999 ** steps);
        for (let k = 0; k < total; k++) {
          const g = gradient[k], rate = k < localisation ? rateLocalisation : rateClassifier;
          mean[k] += 0.1 * (g - mean[k]);
          square[k] += 0.001 * (g * g - square[k]);
          values[k] -= ((rate / first) * mean[k]) / (Math.sqrt(square[k]) / second + 1e-8);
        }
      },
    };
  }

  return {
    IDENTITY, MATRICES, SAMPLERS, apply, matrixGrid, affineGrid, solve, spline, bilinear, clipped,
    coverage, gridCoverage, corners, decompose, forward, random, schedule, smallNetwork,
    source: make.toString(),
  };
})();
