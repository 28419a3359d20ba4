-- The gateway makes links to configurations and counts their use (V-02).
GRANT INSERT ON download_token TO drawbridge_gateway;
GRANT UPDATE (downloads_left, revoked_at) ON download_token TO drawbridge_gateway;
