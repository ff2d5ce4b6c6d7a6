"""Data: Cluttered MNIST, CIFAR-10, its distortion, sets that need no network, where files lie."""
