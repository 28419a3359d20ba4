-- Peers are found by their key, to see whose session is over (H33).
CREATE INDEX client_config_public_key ON client_config (client_public_key);

-- What the simulated provider knows of deletes is forgotten with the session: nothing of it is still on its way.
CREATE FUNCTION forget_fence() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM simulated_fence
    WHERE session_id IN (SELECT id::uuid FROM gone WHERE id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$');
    RETURN NULL;
END $$;
CREATE TRIGGER forget_fence AFTER DELETE ON sessions REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION forget_fence();
