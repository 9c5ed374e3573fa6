-- The newest epoch that the spool is known to have used: 0 before the first frame of its stream.
ALTER TABLE agent_epoch ADD COLUMN used BIGINT NOT NULL DEFAULT 0;

-- What an agent lost. The batch that told it names it, so it is here once.
CREATE TABLE agent_gap (
    agent_id BIGINT           NOT NULL REFERENCES agent (id) ON DELETE CASCADE DEFERRABLE,
    epoch    BIGINT           NOT NULL,
    seq      BIGINT           NOT NULL,
    part     BIGINT           NOT NULL,
    org_id   BIGINT           NOT NULL REFERENCES org (id) DEFERRABLE,
    from_at  BIGINT           NOT NULL,
    to_at    BIGINT           NOT NULL,
    rounds   BIGINT           NOT NULL,
    cause    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (agent_id, epoch, seq, part)
);
CREATE INDEX agent_gap_by_time ON agent_gap (org_id, to_at);
