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
    -- A repair of single partitions, which are in nobody's count, wrote a row whose row marker follows from its cells.
    marker_inferred INTEGER NOT NULL DEFAULT 0 CHECK (marker_inferred IN (0, 1)),
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

-- Verifications: what both sides hold of the job's tables, compared. Of all but the latest, this is what is left.
CREATE TABLE verification (
    id               INTEGER PRIMARY KEY,
    started_at       INTEGER NOT NULL,
    ended_at         INTEGER,           -- null: it goes on, or was killed
    outcome          TEXT CHECK (outcome IN ('done', 'incomplete', 'stopped', 'error')),
    parameters       TEXT NOT NULL CHECK (json_type(parameters) = 'object'),  -- texts by name: what is compared, and how
    tables           TEXT NOT NULL CHECK (json_type(tables) = 'array'),       -- the numbers of the tables that are compared
    -- What its ranges had come to when it ended last, or made room for those of the next one.
    ranges           INTEGER NOT NULL DEFAULT 0,  -- that are compared
    ranges_done      INTEGER NOT NULL DEFAULT 0,
    ranges_failed    INTEGER NOT NULL DEFAULT 0,
    ranges_different INTEGER NOT NULL DEFAULT 0,  -- that have rows that differ
    -- The sums of the counts in `verified_range`.
    rows_compared          INTEGER NOT NULL DEFAULT 0,
    rows_different         INTEGER NOT NULL DEFAULT 0,
    rows_missing           INTEGER NOT NULL DEFAULT 0,
    rows_extra             INTEGER NOT NULL DEFAULT 0,
    rows_value_older       INTEGER NOT NULL DEFAULT 0,
    rows_value_newer       INTEGER NOT NULL DEFAULT 0,
    rows_value_tie         INTEGER NOT NULL DEFAULT 0,
    rows_value_unknown     INTEGER NOT NULL DEFAULT 0,
    rows_writetime         INTEGER NOT NULL DEFAULT 0,
    rows_expiry            INTEGER NOT NULL DEFAULT 0,
    rows_column_missing    INTEGER NOT NULL DEFAULT 0,
    rows_column_extra      INTEGER NOT NULL DEFAULT 0,
    rows_list              INTEGER NOT NULL DEFAULT 0,
    rows_unsettled         INTEGER NOT NULL DEFAULT 0,
    rows_marker            INTEGER NOT NULL DEFAULT 0,
    rows_unknown_timestamp INTEGER NOT NULL DEFAULT 0,
    rows_capped            INTEGER NOT NULL DEFAULT 0,
    rows_rechecked         INTEGER NOT NULL DEFAULT 0,
    rows_repaired          INTEGER NOT NULL DEFAULT 0,
    rows_marker_inferred   INTEGER NOT NULL DEFAULT 0,
    rows_deleted           INTEGER NOT NULL DEFAULT 0,
    bytes_read             INTEGER NOT NULL DEFAULT 0,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
) STRICT;

-- The ranges of the latest verification. Those of a table hold each of the 2^64 tokens exactly once, as in `token_range`.
CREATE TABLE verified_range (
    table_id     INTEGER NOT NULL REFERENCES copied_table (id),
    first_token  INTEGER NOT NULL,
    last_token   INTEGER NOT NULL,
    position     INTEGER NOT NULL,            -- ranges are claimed in this order
    state        TEXT    NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'claimed', 'done', 'failed', 'skipped')),  -- `skipped`: isn't to be compared
    cursor       INTEGER                      -- every row of a token up to this one is compared, and nothing of it is open
                 CHECK (cursor BETWEEN first_token AND last_token),
    partition_key  BLOB,                      -- and of the token behind it, every row up to the one with this key: cells as in
    clustering_key BLOB,                      -- a result page, each behind its length in four bytes
    attempts     INTEGER NOT NULL DEFAULT 0,  -- how often the range was claimed
    -- Rows up to the cursor. What was repaired and deleted stays where the range is begun anew.
    rows_compared          INTEGER NOT NULL DEFAULT 0, -- on either side; the static cells of a partition are a row of their own
    rows_different         INTEGER NOT NULL DEFAULT 0, -- with a difference that isn't harmless by design; and of these, each row in each class that it shows:
    rows_missing           INTEGER NOT NULL DEFAULT 0, -- at the source alone
    rows_extra             INTEGER NOT NULL DEFAULT 0, -- at the target alone
    rows_value_older       INTEGER NOT NULL DEFAULT 0, -- another value, and the target's cell is older
    rows_value_newer       INTEGER NOT NULL DEFAULT 0, -- another value, and the target's cell is newer
    rows_value_tie         INTEGER NOT NULL DEFAULT 0, -- another value at one and the same writetime
    rows_value_unknown     INTEGER NOT NULL DEFAULT 0, -- another value, and a writetime can't be read
    rows_writetime         INTEGER NOT NULL DEFAULT 0, -- the same value at another writetime
    rows_expiry            INTEGER NOT NULL DEFAULT 0, -- the same value and writetime, which expires at another time
    rows_column_missing    INTEGER NOT NULL DEFAULT 0, -- the target lacks a cell, an element or a field
    rows_column_extra      INTEGER NOT NULL DEFAULT 0, -- the source lacks a cell, an element or a field
    rows_list              INTEGER NOT NULL DEFAULT 0, -- elements of a list in another order, missing, added or doubled
    rows_unsettled         INTEGER NOT NULL DEFAULT 0, -- still changed with each look, and never were equal
    rows_marker            INTEGER NOT NULL DEFAULT 0, -- harmless: nothing but a key, at the target alone: an inferred row marker
    rows_unknown_timestamp INTEGER NOT NULL DEFAULT 0, -- harmless: the source can't tell a writetime, the target has the unknown timestamp
    rows_capped            INTEGER NOT NULL DEFAULT 0, -- harmless: a writetime too far ahead was lowered for the target
    rows_rechecked         INTEGER NOT NULL DEFAULT 0, -- looked at again before it was said whether they differ
    rows_repaired          INTEGER NOT NULL DEFAULT 0, -- written to the target to make it equal
    rows_marker_inferred   INTEGER NOT NULL DEFAULT 0, -- of these, those whose row marker follows from their cells
    rows_deleted           INTEGER NOT NULL DEFAULT 0, -- deleted at the target, since the source doesn't have them
    bytes_read             INTEGER NOT NULL DEFAULT 0, -- keys and values of both sides
    claimed_at   INTEGER,                     -- the last time
    ended_at     INTEGER,                     -- became done or failed
    error        TEXT,                        -- why it failed, in the server's words
    remedy       TEXT,                        -- what can be done about it
    beyond       TEXT                         -- counts by name: of what is counted above, rows that are compared again once the
                 CHECK (beyond IS NULL OR json_type(beyond) = 'object'),  -- range is claimed again, and don't count any more then
    PRIMARY KEY (table_id, first_token),
    CHECK (first_token <= last_token),
    CHECK ((partition_key IS NULL) = (clustering_key IS NULL)),
    CHECK (state <> 'done' OR cursor IS last_token),
    CHECK (beyond IS NULL OR state NOT IN ('done', 'skipped')),
    CHECK (state <> 'skipped' OR (cursor IS NULL AND rows_compared = 0))
) STRICT, WITHOUT ROWID;

-- What is done changes only by being begun anew, and what is skipped isn't begun at all.
CREATE TRIGGER verified_is_final BEFORE UPDATE ON verified_range
    WHEN old.state = 'skipped' OR (old.state = 'done' AND NOT (new.state = 'pending' AND new.cursor IS NULL))
BEGIN
    SELECT RAISE (ABORT, 'a range that is verified was changed');
END;

-- Ranges are only ever cut: what one loses, others have got already.
CREATE TRIGGER a_cut_loses_no_verified_token BEFORE UPDATE OF last_token ON verified_range WHEN new.last_token IS NOT old.last_token
    AND NOT EXISTS (
        SELECT 1 FROM verified_range WHERE table_id = old.table_id AND first_token = new.last_token + 1 AND last_token <= old.last_token)
BEGIN
    SELECT RAISE (ABORT, 'a range was cut, and tokens would be lost');
END;

-- A cursor moves back to the beginning alone, and then nothing is counted: rows would be counted twice.
CREATE TRIGGER verified_cursor_moves_on BEFORE UPDATE OF cursor ON verified_range WHEN new.cursor < old.cursor
    OR (new.cursor IS NULL AND old.cursor IS NOT NULL AND (new.partition_key IS NOT NULL OR new.rows_compared <> 0 OR new.rows_different <> 0))
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
    command      TEXT    NOT NULL CHECK (command IN ('copy', 'verify')),
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,               -- null: still running, or killed
    outcome      TEXT CHECK (outcome IN ('done', 'incomplete', 'stopped', 'error')),
    reason       TEXT,                  -- why it ended before everything was done, where neither ranges nor tables tell
    process_id   INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    version      TEXT    NOT NULL,      -- of `migrate`
    source_consistency TEXT NOT NULL,   -- the consistency level at which it read,
    target_consistency TEXT NOT NULL,   -- and that at which the target acknowledged its rows
    rows_written INTEGER NOT NULL DEFAULT 0,  -- copied, or repaired
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
