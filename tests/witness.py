"""The paper's network in plain NumPy, written from the papers alone: an independent witness.

Tables I and II of Possatti and de Freitas (2018), equations 3 to 7 of Jaderberg et al. (2015),
Adam as Keras 2.1.2 has it, all in float64. Nothing here knows of PyTorch or of `stnlib`. Each layer
is a pair: a function that returns its output, and one that turns the output's gradient into the
input's and adds those of weights to `grads`.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def convolve(x, name, weights, grads):
    """An unpadded convolution. x: (N, C, H, W)."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    k = kernel.shape[-1]
    windows = sliding_window_view(x, (k, k), axis=(2, 3))  # (N, C, h, w, k, k)
    out = np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)

    def back(d):
        grads[f"{name}.weight"] = np.einsum("nohw,nchwij->ocij", d, windows, optimize=True)
        grads[f"{name}.bias"] = d.sum(axis=(0, 2, 3))
        wide = np.pad(d, ((0, 0), (0, 0), (k - 1, k - 1), (k - 1, k - 1)))
        turned = sliding_window_view(wide, (k, k), axis=(2, 3))
        return np.einsum("nohwij,ocij->nchw", turned, kernel[..., ::-1, ::-1], optimize=True)

    return out + bias[:, None, None], back


def dense(x, name, weights, grads):
    """A dense layer. x: (N, inputs)."""
    matrix = weights[f"{name}.weight"]

    def back(d):
        grads[f"{name}.weight"], grads[f"{name}.bias"] = d.T @ x, d.sum(axis=0)
        return d @ matrix

    return x @ matrix.T + weights[f"{name}.bias"], back


def pool(x):
    """The maximum of each 2×2 block; an odd last row or column is left out."""
    n, c, h, w = x.shape
    h, w = h // 2, w // 2
    blocks = x[:, :, : 2 * h, : 2 * w].reshape(n, c, h, 2, w, 2).swapaxes(3, 4)
    blocks = blocks.reshape(n, c, h, w, 4)
    largest = blocks.argmax(axis=-1)[..., None]

    def back(d):
        share = np.zeros_like(blocks)
        np.put_along_axis(share, largest, d[..., None], axis=-1)
        out = np.zeros_like(x)
        share = share.reshape(n, c, h, w, 2, 2).swapaxes(3, 4).reshape(n, c, 2 * h, 2 * w)
        out[:, :, : 2 * h, : 2 * w] = share
        return out

    return np.take_along_axis(blocks, largest, axis=-1)[..., 0], back


def rectify(x):
    """ReLU."""
    return np.maximum(x, 0), lambda d: d * (x > 0)


def flatten(x):
    """(N, C, H, W) to (N, C·H·W)."""
    return x.reshape(len(x), -1), lambda d: d.reshape(x.shape)


def points(theta, size):
    """Where each output pixel is read, in pixels: x and y, (N, size, size). Equation 1."""
    line = np.linspace(-1, 1, size)
    target = np.stack([np.tile(line, (size, 1)), np.tile(line[:, None], (1, size))])
    target = np.concatenate([target, np.ones((1, size, size))])  # (x, y, 1)
    source = np.einsum("nij,jhw->nihw", theta.reshape(-1, 2, 3), target)

    def back(d):
        return np.einsum("nihw,jhw->nij", d, target).reshape(-1, 6)

    return source, back


def read_bilinear(images, source):
    """Equations 5 to 7 with ±1 at the centres of the outermost pixels: (N, C, h, w)."""
    size = images.shape[-1]
    pixel = (source + 1) * (size - 1) / 2
    inside = np.arange(size)
    apart = inside[:, None, None] - pixel[:, :, None]  # (N, 2, size, h, w): m - x and n - y
    near = np.maximum(0, 1 - np.abs(apart))
    slope = np.where(np.abs(apart) < 1, np.sign(apart), 0) * (size - 1) / 2
    by_x, by_y = near[:, 0], near[:, 1]
    out = np.einsum("ncji,nihw,njhw->nchw", images, by_x, by_y, optimize=True)

    def back(d):
        x = np.einsum("nchw,ncji,nihw,njhw->nhw", d, images, slope[:, 0], by_y, optimize=True)
        y = np.einsum("nchw,ncji,nihw,njhw->nhw", d, images, by_x, slope[:, 1], optimize=True)
        return np.stack([x, y], axis=1)

    return out, back


def read_clipped(images, source):
    """The authors' form: [-1, 1] is W pixels wide, and indices are clipped before they weigh."""
    n, _, size, _ = images.shape
    pixel = (source + 1) * size / 2
    first = np.floor(pixel).astype(int)
    low, high = np.clip(first, 0, size - 1), np.clip(first + 1, 0, size - 1)
    from_low, to_high = pixel - low, high - pixel
    each = np.arange(n)[:, None, None]

    def at(ys, xs):
        return images[each, :, ys, xs].transpose(0, 3, 1, 2)

    corners = [[at(y, x) for x in (low[:, 0], high[:, 0])] for y in (low[:, 1], high[:, 1])]
    along = [[to_high[:, 0], from_low[:, 0]], [to_high[:, 1], from_low[:, 1]]]
    out = sum(
        corners[j][i] * (along[0][i] * along[1][j])[:, None] for i in range(2) for j in range(2)
    )

    def back(d):
        sign = (-1, 1)
        x = sum(corners[j][i] * (sign[i] * along[1][j])[:, None] for i in (0, 1) for j in (0, 1))
        y = sum(corners[j][i] * (sign[j] * along[0][i])[:, None] for i in (0, 1) for j in (0, 1))
        return np.stack([(d * x).sum(axis=1), (d * y).sum(axis=1)], axis=1) * size / 2

    return out, back


def chain(x, layers):
    """Each layer after the one before; their ways back in the other order."""
    ways = []
    for layer in layers:
        x, back = layer(x)
        ways.append(back)

    def back_through(d):
        for back in reversed(ways):
            d = back(d)
        return d

    return x, back_through


def loss_and_gradients(weights, images, labels, read):
    """Mean cross-entropy of the paper's STN on CM, each weight's gradient, and θ."""
    grads = {}

    def layer(kind, name):
        return lambda x: kind(x, name, weights, grads)

    localisation = [
        *(pool, layer(convolve, "loc.conv1"), pool, layer(convolve, "loc.conv2"), flatten),
        *(layer(dense, "loc.hidden"), rectify, layer(dense, "loc.theta")),
    ]
    classifier = [
        *(layer(convolve, "conv1"), rectify, pool, layer(convolve, "conv2"), rectify, pool),
        *(flatten, layer(dense, "hidden"), rectify, layer(dense, "scores")),
    ]
    theta, back_theta = chain(images, localisation)
    source, back_points = points(theta, images.shape[-1])
    seen, back_read = read(images, source)
    scores, back_scores = chain(seen, classifier)
    scores = scores - scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    each = np.arange(len(labels))
    d = np.exp(logs)
    d[each, labels] -= 1
    back_theta(back_points(back_read(back_scores(d / len(labels)))))
    return -logs[each, labels].mean(), grads, theta


class Adam:
    """Kingma and Ba (2015), with eps where Keras 2.1.2 adds it: outside the bias correction."""

    def __init__(self, weights, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.weights, self.lr, self.betas, self.eps, self.t = weights, lr, (beta1, beta2), eps, 0
        self.m = {name: np.zeros_like(w) for name, w in weights.items()}
        self.v = {name: np.zeros_like(w) for name, w in weights.items()}

    def step(self, grads):
        self.t += 1
        beta1, beta2 = self.betas
        rate = self.lr * np.sqrt(1 - beta2**self.t) / (1 - beta1**self.t)
        for name, g in grads.items():
            self.m[name] = beta1 * self.m[name] + (1 - beta1) * g
            self.v[name] = beta2 * self.v[name] + (1 - beta2) * g**2
            self.weights[name] -= rate * self.m[name] / (np.sqrt(self.v[name]) + self.eps)
