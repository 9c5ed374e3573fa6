//! A segmented, checksummed record log on disk: the agent's spool and the server's log.
