"""The host: what Linux v2.6.27 does with memory, operation by operation, lock by lock."""
