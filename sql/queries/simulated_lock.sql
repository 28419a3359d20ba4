-- (no parameters) -> capacity int: makes creates of all workers take turns until the transaction ends
SELECT capacity FROM simulated_provider FOR NO KEY UPDATE
