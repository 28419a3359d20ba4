-- day_partitions(today date, inbox_days int, ledger_days int, audit_days int) -> made int, dropped int
-- As far back as rows are kept: a publisher may resend, and audit may be behind, for as long.
SELECT day_partitions_make('inbox', $1::date - $2::int, $1::date + 2) + day_partitions_make('ledger', $1::date - 1, $1::date + 2)
       + day_partitions_make('operational_event', $1::date - $4::int, $1::date + 2),
       day_partitions_drop('inbox', $1::date - $2::int) + day_partitions_drop('ledger', $1::date - $3::int)
       + day_partitions_drop('operational_event', $1::date - $4::int)
