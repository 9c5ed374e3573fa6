-- The network as its operator describes it: each element and each target's place, as JSON.
CREATE TABLE topology_part (
    org_id    BIGINT           NOT NULL REFERENCES org (id) DEFERRABLE,
    -- 'element' or 'target': one of each may have the same id.
    section   TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    body_json TEXT COLLATE "C" NOT NULL,
    -- Of the inventory, when it was written last.
    version   BIGINT           NOT NULL,
    PRIMARY KEY (org_id, section, id)
);

-- When a topology changed last; no row before the first time.
CREATE TABLE topology_head (
    org_id     BIGINT NOT NULL PRIMARY KEY REFERENCES org (id) DEFERRABLE,
    version    BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
