"""``bench layers``: single convolutions, direct against the lowering that the planner chooses."""
