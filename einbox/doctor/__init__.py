"""What would fail on the day: each check answers ok, warn or fail with one sentence. Reads, and changes nothing."""
