-- Messages in half the room, and what can happen to them later; a search over their words; records.
-- `conversations` stays what people ask, as a view. Times of messages are whole microseconds since 1970 in UTC.

ALTER TABLE sessions ADD COLUMN parent_id TEXT;
ALTER TABLE sessions ADD COLUMN branched_at TEXT;
ALTER TABLE sessions ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'; -- JSON
ALTER TABLE sessions ADD COLUMN starred BOOLEAN NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN archived BOOLEAN NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN deleted_at DATETIME;

-- What origins begin with, `front:channel:`, and who said something, each once and for good: messages name them by
-- number, which nothing need check.
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE
);

CREATE TABLE senders (
    id INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (user_id, name, type)
);

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they were kept: a number is never given twice
    session INTEGER NOT NULL REFERENCES sessions (id),
    sender INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    place INTEGER,
    event, -- the rest of its origin, a whole number where it is one
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    at INTEGER NOT NULL,
    content TEXT NOT NULL, -- the words of `parts`, for people and for search
    parts TEXT, -- JSON; null: one text, `content`
    persona TEXT,
    reply_to TEXT,
    outcome TEXT, -- null: whole
    usage TEXT, -- JSON
    metadata TEXT, -- JSON; null: none
    edits TEXT, -- JSON
    reactions TEXT, -- JSON
    annotations TEXT, -- JSON
    pinned BOOLEAN,
    deleted_at INTEGER,
    asker TEXT -- who was answered, once the question is gone
);

-- @chunks conversations
INSERT OR IGNORE INTO places (key)
SELECT DISTINCT rtrim(origin, replace(origin, ':', '')) FROM conversations
WHERE origin IS NOT NULL AND id > ?1 AND id <= ?2;

-- @chunks conversations
INSERT OR IGNORE INTO senders (type, user_id, name)
SELECT DISTINCT sender_type, user_id, username FROM conversations WHERE id > ?1 AND id <= ?2;

-- @chunks conversations
INSERT INTO messages (id, session, sender, message_id, place, event, role, at, content, parts, persona, reply_to,
    outcome, usage, metadata)
SELECT c.id, s.id, n.id, c.message_id, p.id,
    iif(c.tail NOT GLOB '*[^0-9]*' AND c.tail = CAST(c.tail AS INTEGER) || '', CAST(c.tail AS INTEGER), c.tail), c.role,
    CAST(strftime('%s', substr(c.timestamp, 1, 19)) AS INTEGER) * 1000000 + CAST(substr(c.timestamp, 21, 6) AS INTEGER),
    c.content, iif(c.parts = json_array(json_object('type', 'text', 'text', c.content)), NULL, c.parts), c.persona,
    c.reply_to, nullif(c.outcome, 'whole'), c.usage, nullif(c.metadata, '{}')
FROM (
    SELECT *, rtrim(origin, replace(origin, ':', '')) AS left_of,
        substr(origin, length(rtrim(origin, replace(origin, ':', ''))) + 1) AS tail
    FROM conversations WHERE id > ?1 AND id <= ?2
) AS c
JOIN sessions AS s ON s.session_id = c.session_id
JOIN senders AS n ON n.user_id = c.user_id AND n.name = c.username AND n.type = c.sender_type
LEFT JOIN places AS p ON p.key = c.left_of
ORDER BY c.id;

CREATE TABLE pages (
    place INTEGER NOT NULL,
    event NOT NULL,
    message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    page INTEGER NOT NULL,
    PRIMARY KEY (event, place)
) WITHOUT ROWID;

INSERT OR IGNORE INTO places (key) SELECT DISTINCT rtrim(origin, replace(origin, ':', '')) FROM receipts;

INSERT INTO pages (place, event, message, page)
SELECT p.id, iif(r.tail NOT GLOB '*[^0-9]*' AND r.tail = CAST(r.tail AS INTEGER) || '', CAST(r.tail AS INTEGER), r.tail), m.id, r.page
FROM (
    SELECT *, rtrim(origin, replace(origin, ':', '')) AS left_of,
        substr(origin, length(rtrim(origin, replace(origin, ':', ''))) + 1) AS tail FROM receipts
) AS r
JOIN conversations AS c ON c.message_id = r.message_id
JOIN messages AS m ON m.id = c.id
JOIN places AS p ON p.key = r.left_of;

DROP TABLE receipts;
DROP TRIGGER count_kept;
DROP TRIGGER count_removed;
DROP TABLE conversations;

CREATE UNIQUE INDEX idx_messages_message ON messages(message_id);
-- The event first: numbers of events grow with time everywhere, so what is new stands together.
CREATE UNIQUE INDEX idx_messages_origin ON messages(event, place) WHERE event IS NOT NULL;
CREATE INDEX idx_messages_session ON messages(session);
CREATE INDEX idx_messages_usage ON messages(at) WHERE usage IS NOT NULL;
CREATE INDEX idx_messages_answers ON messages(reply_to) WHERE usage IS NOT NULL;
CREATE INDEX idx_messages_deleted ON messages(deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX idx_messages_pinned ON messages(session) WHERE pinned;
CREATE INDEX idx_pages_message ON pages(message, page);
CREATE INDEX idx_sessions_deleted ON sessions(deleted_at) WHERE deleted_at IS NOT NULL;

CREATE VIEW conversations AS
SELECT m.id, s.bot_name, s.channel_id, c.name AS channel_name, iif(c.kind = 'dm', 'dm', 'channel') AS channel_type,
    n.user_id, n.name AS username, s.session_id, m.message_id, m.role, m.content,
    strftime('%Y-%m-%dT%H:%M:%S', (m.at - (m.at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (m.at % 1000000 + 1000000) % 1000000) AS timestamp,
    ifnull(m.metadata, '{}') AS metadata, m.persona, m.reply_to, p.key || m.event AS origin,
    m.deleted_at IS NOT NULL AS is_deleted
FROM messages AS m
JOIN sessions AS s ON s.id = m.session
JOIN channels AS c ON c.key = s.channel_key
JOIN senders AS n ON n.id = m.sender
LEFT JOIN places AS p ON p.id = m.place;

-- A message counts itself in when it is written (`writing.sql`). Out it is counted here, so that the count also holds
-- after a removal by hand.
CREATE TRIGGER count_removed AFTER DELETE ON messages BEGIN
    UPDATE sessions SET message_count = message_count - 1 WHERE id = OLD.session;
END;

-- Which stored files a message refers to, in its earlier wordings too. Filled by the writer, for the few that do.
CREATE TABLE attachments (
    hash TEXT NOT NULL,
    message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    PRIMARY KEY (hash, message)
) WITHOUT ROWID;
CREATE INDEX idx_attachments_message ON attachments(message);

-- The words of messages up to the id in `facts`, as `words.words` spells them; it holds no text of its own.
CREATE VIRTUAL TABLE search USING fts5(words, content='', tokenize='unicode61 remove_diacritics 0');

CREATE TABLE facts (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO facts (name, value) VALUES ('indexed', 0), ('lexer', 0);

CREATE TABLE records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    about TEXT,
    body TEXT NOT NULL, -- JSON, of a memory all but its vector
    bot_name TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX idx_records_at ON records(kind, at, id);
CREATE INDEX idx_records_about ON records(kind, about, at, id);

CREATE TABLE vectors (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    memory_id TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    audience TEXT NOT NULL,
    data BLOB NOT NULL -- 32-bit floats, little-endian
);
