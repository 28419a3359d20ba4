-- doctor_server() -> now, superuser, worker: may this user take the workers' role
SELECT clock_timestamp() AS now, current_setting('is_superuser') = 'on' AS superuser,
       pg_is_in_recovery() AS standby,
       EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'drawbridge_worker'
               AND pg_has_role(current_user, r.oid, 'MEMBER')) AS worker
