-- Where messages go: an address that takes signed requests. Address and secret are sealed.
CREATE TABLE webhook (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id     BIGINT   NOT NULL REFERENCES org (id),
    name       TEXT     NOT NULL,
    -- The address without what may be secret in it.
    host       TEXT     NOT NULL,
    sealed     BLOB     NOT NULL,
    is_active  SMALLINT NOT NULL,
    created_at BIGINT   NOT NULL,
    updated_at BIGINT   NOT NULL,
    UNIQUE (org_id, name)
);

-- What is to be told, once: written with what it tells of.
CREATE TABLE message (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id      BIGINT NOT NULL REFERENCES org (id),
    -- The same message has the same key, and is there once.
    message_key TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    -- Messages of one subject arrive in their order.
    subject     TEXT   NOT NULL,
    body_json   TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    UNIQUE (org_id, message_key)
);
CREATE INDEX message_by_time ON message (created_at, id);

-- A message on its way to a webhook: 'due', 'sent', or 'dead' when it was given up.
CREATE TABLE delivery (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id       BIGINT NOT NULL REFERENCES org (id),
    webhook_id   BIGINT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    message_id   BIGINT NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    subject      TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    -- Tries since it was asked for, and those before that.
    tries        BIGINT NOT NULL,
    tries_before BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    -- Why it is not sent; null while nothing was in the way.
    reason       TEXT,
    updated_at   BIGINT NOT NULL,
    UNIQUE (webhook_id, message_id)
);
CREATE INDEX delivery_by_webhook ON delivery (org_id, webhook_id, id);
CREATE INDEX delivery_by_message ON delivery (message_id);
CREATE INDEX delivery_due ON delivery (webhook_id, subject, id) WHERE state = 'due';

-- Each try to deliver.
CREATE TABLE delivery_try (
    delivery_id BIGINT NOT NULL REFERENCES delivery (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    org_id      BIGINT NOT NULL REFERENCES org (id),
    at          BIGINT NOT NULL,
    took_us     BIGINT NOT NULL,
    -- Of the answer; null if there was none.
    status      BIGINT,
    reason      TEXT,
    PRIMARY KEY (delivery_id, number)
);
