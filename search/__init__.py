"""Search: the kernel sizes and dilations that fit a task (DASH), and the network trained with them."""
