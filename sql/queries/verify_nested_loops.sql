-- verify_nested_loops(allowed text) -> setting text
-- Whether this connection's plans may use them. What was just written has no statistics: the planner takes it for a
-- few rows, and compares each of a hundred thousand with each of as many.
SELECT set_config('enable_nestloop', $1, false)
