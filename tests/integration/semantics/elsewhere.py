"""Reasons that no request alone can bring about, and the tests that show them. Each file names its reason."""

SHOWN = {
    "QUEUE_FULL": ["tests/unit/store/test_writer.c"],
    "STORE_UNREACHABLE": ["tests/unit/store/test_writer.c", "tests/unit/store_embedded/test_state_db.c"],
    "STORE_FAILED": ["tests/integration/test_disk_full.py", "tests/unit/store/test_writer.c"],
    "OUTCOME_UNKNOWN": ["tests/fault/driver.c", "tests/unit/store/test_writer.c"],
    "POSITION_MISSING": ["tests/unit/service/test_listing.c", "tests/unit/bus/test_bus.c"],
    "DAMAGED": ["tests/fault/test_embedded_damage.c", "tests/unit/store/test_writer.c"],
    "OPERATION_RUNNING": ["tests/unit/service/test_operations.c"],
    # Nothing limits rates yet: the answer alone is there. OPERATION_RUNNING and REVALIDATE_EXHAUSTED depend on timing.
    "RATE_LIMITED": ["tests/unit/rpc/test_status_details.c"],
    "REVALIDATE_EXHAUSTED": ["tests/unit/service/test_lanes_rival.c"],
    "EVENT_ERASED": ["tests/unit/store/test_decide_batch.c"],
}
