"""Search: the kernel sizes and dilations that fit a task (DASH), and the training of the network they make."""
