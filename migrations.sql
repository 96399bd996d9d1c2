-- The checkpoint of `migrate`: one job, one SQLite file. Read it with `sqlite3 -readonly migrate.db` at any time.
--
-- Sections are applied in order, each in one transaction; `PRAGMA user_version` says how many have been. A section is
-- never edited once released: a change is a new section at the end. `PRAGMA application_id` is 0x4D494752 ("MIGR").
-- Instants are milliseconds since the Unix epoch; tokens are signed 64-bit integers, ranges include both of their ends.
-- No password is ever stored here.

-- version 1

-- What the job is. A command whose job differs in any of these is refused by name.
CREATE TABLE job (
    name  TEXT PRIMARY KEY,  -- `source`, `target` (cluster names), `table`, `exclude` (one pattern per line), `unknown_timestamp` …
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The tables that the job copies. A pattern may come to more of them from run to run; none is ever removed.
CREATE TABLE copied_table (
    id              INTEGER PRIMARY KEY,
    source_keyspace TEXT NOT NULL,
    source_table    TEXT NOT NULL,
    target_keyspace TEXT NOT NULL,
    target_table    TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('ready', 'broken')),  -- as the last run found it
    reason          TEXT,  -- why it is broken: it can't be copied, or what was copied can't be trusted; tried again by each run
    -- Null until the table could be copied for the first time. Then it has ranges, and these stay as they are.
    source_table_id TEXT,  -- the cluster's UUID of the table: dropping and creating it again makes another
    target_table_id TEXT,
    columns         TEXT,  -- name, type and part of each column, one per line
    -- What each node of the target says of the last TRUNCATE of its table, a line each: the node, and its record if it has one.
    target_truncations TEXT,
    source_readded  TEXT,  -- columns of the source's table that had been dropped and added again, and when, one per line
    UNIQUE (source_keyspace, source_table),
    UNIQUE (target_keyspace, target_table),
    CHECK ((state = 'broken') = (reason IS NOT NULL)),
    CHECK (state = 'broken' OR source_table_id IS NOT NULL),
    CHECK ((source_table_id IS NULL) = (target_table_id IS NULL) AND (source_table_id IS NULL) = (columns IS NULL)
        AND (source_table_id IS NULL) = (target_truncations IS NULL) AND (source_table_id IS NULL) = (source_readded IS NULL))
) STRICT;

-- Progress belongs to the very tables that it was made with.
CREATE TRIGGER a_table_stays_itself BEFORE UPDATE ON copied_table WHEN old.source_table_id IS NOT NULL
    AND (new.source_table_id IS NOT old.source_table_id OR new.target_table_id IS NOT old.target_table_id OR new.columns IS NOT old.columns
    OR new.source_readded IS NOT old.source_readded)
BEGIN
    SELECT RAISE (ABORT, 'a table of the job was changed for another');
END;

-- The token ring, cut in ranges once per table, when the job takes it in. A range that can't be read in one go is cut again, down to
-- a single token. The ranges of a table hold each of the 2^64 tokens exactly once; that is checked whenever the file is opened.
CREATE TABLE token_range (
    table_id     INTEGER NOT NULL REFERENCES copied_table (id),
    first_token  INTEGER NOT NULL,
    last_token   INTEGER NOT NULL,
    position     INTEGER NOT NULL,            -- ranges are claimed in this order, so that all source replicas work evenly
    state        TEXT    NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'claimed', 'done', 'failed')),
    cursor       INTEGER                      -- every row of a token up to this one is acknowledged by the target
                 CHECK (cursor BETWEEN first_token AND last_token),
    partition_key  BLOB,                      -- and of the token behind it, every row up to the one with this key: cells as in
    clustering_key BLOB,                      -- a result page, each behind its length in four bytes
    attempts     INTEGER NOT NULL DEFAULT 0,  -- how often the range was claimed
    rows_read    INTEGER NOT NULL DEFAULT 0,  -- the counters are of the rows up to the cursor
    rows_written INTEGER NOT NULL DEFAULT 0,  -- acknowledged by the target
    rows_expired INTEGER NOT NULL DEFAULT 0,  -- had reached the end of their life before they could be written
    rows_rejected INTEGER NOT NULL DEFAULT 0, -- refused by the target for good; their keys are in the rejects file
    -- Of the rows read, those of which not everything could be read or kept, by what became of them:
    rows_key_only INTEGER NOT NULL DEFAULT 0, -- nothing but a key: written with the unknown timestamp, for ever
    rows_marker_inferred INTEGER NOT NULL DEFAULT 0, -- the row marker follows from the cells, since no query shows it
    rows_marker_expires INTEGER NOT NULL DEFAULT 0, -- of these, all of it expires: so does the row marker
    rows_unknown_timestamp INTEGER NOT NULL DEFAULT 0, -- has elements without a readable writetime: the unknown timestamp
    rows_capped  INTEGER NOT NULL DEFAULT 0,  -- a writetime too far ahead for the target was lowered
    lists_reordered INTEGER NOT NULL DEFAULT 0, -- lists whose elements stand in another order than at the source
    bytes_read   INTEGER NOT NULL DEFAULT 0,  -- keys and values
    claimed_at   INTEGER,                     -- the last time
    ended_at     INTEGER,                     -- became done or failed
    error        TEXT,                        -- why it failed, in the server's words
    remedy       TEXT,                        -- what can be done about it
    PRIMARY KEY (table_id, first_token),
    CHECK (first_token <= last_token),
    CHECK ((partition_key IS NULL) = (clustering_key IS NULL)),
    CHECK (state <> 'done' OR cursor IS last_token),
    CHECK (rows_read = rows_written + rows_expired + rows_rejected)
) STRICT, WITHOUT ROWID;

-- What is done stays done.
CREATE TRIGGER done_is_final BEFORE UPDATE ON token_range WHEN old.state = 'done'
BEGIN
    SELECT RAISE (ABORT, 'a range that is done was changed');
END;

-- Ranges are only ever cut: what one loses, others have got already.
CREATE TRIGGER a_cut_loses_no_token BEFORE UPDATE OF last_token ON token_range WHEN new.last_token IS NOT old.last_token
    AND NOT EXISTS (
        SELECT 1 FROM token_range WHERE table_id = old.table_id AND first_token = new.last_token + 1 AND last_token <= old.last_token)
BEGIN
    SELECT RAISE (ABORT, 'a range was cut, and tokens would be lost');
END;

-- A cursor never moves back: rows below it would be counted twice.
CREATE TRIGGER cursor_moves_on BEFORE UPDATE OF cursor ON token_range WHEN new.cursor < old.cursor OR (new.cursor IS NULL AND old.cursor IS NOT NULL)
BEGIN
    SELECT RAISE (ABORT, 'the cursor of a range was moved back');
END;

-- Options of target tables that the job has set for its duration (`--manage-table-options`). A row is committed before the
-- option is changed; it is `managed` until every range of the table is done and the old value is back.
CREATE TABLE managed_option (
    table_id  INTEGER NOT NULL REFERENCES copied_table (id),
    name      TEXT NOT NULL,  -- `tombstone_gc` or `gc_grace_seconds`
    old_value TEXT NOT NULL,  -- as a CQL literal: what it goes back to
    new_value TEXT NOT NULL,  -- as a CQL literal: what it is for the copy
    state     TEXT NOT NULL CHECK (state IN ('managed', 'restored', 'left')),  -- `left`: somebody else changed it meanwhile
    PRIMARY KEY (table_id, name)
) STRICT, WITHOUT ROWID;

-- The program's runs over this job.
CREATE TABLE run (
    id           INTEGER PRIMARY KEY,
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,               -- null: still running, or killed
    outcome      TEXT CHECK (outcome IN ('done', 'incomplete', 'stopped', 'error')),
    process_id   INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    version      TEXT    NOT NULL,      -- of `migrate`
    rows_written INTEGER NOT NULL DEFAULT 0,
    retries      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What the operator has set for the job (`migrate set`, `pause`), running or not. It comes before the command line, in every run,
-- until it is taken back. A running process looks at it a few times a second.
CREATE TABLE control (
    name   TEXT PRIMARY KEY CHECK (name IN ('paused', 'rows-per-second', 'bytes-per-second', 'readers', 'writers',
                                            'source-latency', 'target-latency')),
    value  TEXT NOT NULL,   -- as it was typed; of `paused`, `yes`
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
