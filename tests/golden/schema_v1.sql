-- A database as the first release made it, with a little talk in it. Frozen: never edit it, whatever the schema
-- becomes; tests/test_sqlite.py opens a copy with today's program.
PRAGMA application_id = 1414681936;
PRAGMA user_version = 1;

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

INSERT INTO channels VALUES ('discord:100', 'sage', 'discord', '100', 'channel', 'general', '1', 'Troupers', NULL, '["lobby"]', '[]');
INSERT INTO sessions (
    bot_name, channel_id, session_id, started_at, last_activity, channel_key, type, title, participants, context,
    last_at, metadata
) VALUES (
    'sage', '100', '2024-01-08_12-00-00_k3f9', '2024-01-08T12:00:00.000000Z', '2024-01-08T12:00:00.000000Z',
    'discord:100', 'chat', '', '[{"type":"user","id":"7","name":"Ann"}]',
    '{"summary":"","goals":[],"constraints":[],"shared_knowledge":[],"active_tools":[]}',
    '2024-01-08T12:00:01.000000Z', '{}'
);
INSERT INTO conversations (
    bot_name, channel_id, channel_name, channel_type, user_id, username, session_id, message_id, role, content,
    timestamp, metadata, origin, sender_type, persona, parts, reply_to, outcome, usage
) VALUES
    (
        'sage', '100', 'general', 'channel', '7', 'Ann', '2024-01-08_12-00-00_k3f9', 'm1', 'user', 'Tea?',
        '2024-01-08T12:00:01.000000Z', '{}', 'discord:100:1', 'user', NULL, '[{"type":"text","text":"Tea?"}]', NULL,
        'whole', NULL
    ),
    (
        'sage', '100', 'general', 'channel', 'sage', 'Sage', '2024-01-08_12-00-00_k3f9', 'm2', 'assistant', 'Gladly.',
        '2024-01-08T12:00:02.000000Z', '{"rule":"keyword"}', NULL, 'persona', 'sage',
        '[{"type":"text","text":"Gladly."}]', 'm1', 'whole',
        '{"provider":"offline","model":"offline","tokens_in":1,"tokens_out":2,"cache_read":0,"cache_write":0,"cost_micros":null,"seconds":0.5}'
    );
INSERT INTO receipts VALUES ('discord:100:2', 'm2', 0);
