-- verify_seen_done(run bigint): and what a killed one left, a day ago (runs are numbered by microseconds).
DELETE FROM verify_seen WHERE run = $1::bigint OR run < $1::bigint - 86400000000
