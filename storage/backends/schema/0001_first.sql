-- The first schema. Never edited once released: a change is a new numbered step beside this file.
-- Tables, columns, checks and indexes of the project's storage plan keep their names; the rest is what the model adds.
-- Times are UTC text of one width (2024-01-08T14:30:00.000000Z), so that the order of the text is the order of time.

-- Places behind a door. Sessions point here by key (`front:id`), so a rename is one row.
CREATE TABLE channels (
    key TEXT NOT NULL PRIMARY KEY,
    bot_name TEXT NOT NULL,
    front TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    guild_id TEXT,
    guild_name TEXT,
    parent_id TEXT,
    past_names TEXT NOT NULL DEFAULT '[]', -- JSON, oldest first
    past_guild_names TEXT NOT NULL DEFAULT '[]' -- JSON, oldest first
);

-- Sessions for conversation boundaries
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bot_name TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    started_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    last_activity DATETIME DEFAULT CURRENT_TIMESTAMP, -- the newest message, anybody's
    message_count INTEGER DEFAULT 0,
    is_active BOOLEAN DEFAULT 1,
    channel_key TEXT NOT NULL REFERENCES channels (key),
    type TEXT NOT NULL,
    title TEXT NOT NULL,
    persona TEXT,
    participants TEXT NOT NULL, -- JSON
    context TEXT NOT NULL, -- JSON
    last_at DATETIME NOT NULL, -- when a person last spoke: the gap clock
    closed_at DATETIME,
    follows TEXT,
    metadata TEXT NOT NULL, -- JSON
    CHECK (is_active = (closed_at IS NULL))
);

-- Bot-specific conversation storage
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bot_name TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    channel_name TEXT NOT NULL, -- as it was called then
    channel_type TEXT NOT NULL CHECK (channel_type IN ('channel', 'dm')),
    user_id TEXT NOT NULL, -- the sender, whatever its type
    username TEXT NOT NULL,
    session_id TEXT NOT NULL REFERENCES sessions (session_id),
    message_id TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content TEXT NOT NULL, -- the words of `parts`, for people and for search
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    metadata TEXT, -- JSON for additional data
    origin TEXT UNIQUE,
    sender_type TEXT NOT NULL,
    persona TEXT,
    parts TEXT NOT NULL, -- JSON
    reply_to TEXT,
    outcome TEXT NOT NULL,
    usage TEXT -- JSON
);

-- Where the pages of an answer now stand.
CREATE TABLE receipts (
    origin TEXT NOT NULL PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES conversations (message_id) ON DELETE CASCADE,
    page INTEGER NOT NULL
);

-- Indexes for performance. SQLite ends every index with the row's id, so idx_conversations_session
-- is also the order in which a session's messages were kept.
CREATE INDEX idx_conversations_bot_channel ON conversations(bot_name, channel_id);
CREATE INDEX idx_conversations_session ON conversations(session_id);
CREATE INDEX idx_sessions_bot_channel ON sessions(bot_name, channel_id);
CREATE INDEX idx_sessions_active ON sessions(is_active);
CREATE UNIQUE INDEX idx_sessions_session ON sessions(session_id);
CREATE INDEX idx_sessions_last ON sessions(last_at);
CREATE INDEX idx_sessions_channel_last ON sessions(channel_key, last_at);
CREATE INDEX idx_receipts_message ON receipts(message_id, page);

-- Here rather than in the program, so that the count also holds after an edit by hand.
CREATE TRIGGER count_kept AFTER INSERT ON conversations BEGIN
    UPDATE sessions
    SET message_count = message_count + 1, last_activity = max(last_activity, NEW.timestamp)
    WHERE session_id = NEW.session_id;
END;

CREATE TRIGGER count_removed AFTER DELETE ON conversations BEGIN
    UPDATE sessions SET message_count = message_count - 1 WHERE session_id = OLD.session_id;
END;
