-- How a batch is written: rows put into this view by one statement, however many. The writer's connection makes it
-- anew each time it opens, so it is no part of the schema and can change freely.
--
-- Why so: one statement is one transaction and one trip out of Python's lock. While the event loop is busy every
-- trip back waits for it, so ten statements would cost ten waits.
--
-- A row is channels and sessions (JSON arrays), or a message, or receipts (a JSON array), or nothing at all: batches
-- are filled up with empty rows to one of a few lengths, so that SQLite need not prepare a statement for each length.
-- A message's session, sender and place are row numbers, which the program remembers.

CREATE TEMP VIEW batch AS SELECT NULL AS bot_name, NULL AS message_id, NULL AS session, NULL AS sender, NULL AS place,
    NULL AS event, NULL AS role, NULL AS at, NULL AS content, NULL AS parts, NULL AS persona, NULL AS reply_to,
    NULL AS asker, NULL AS outcome, NULL AS usage, NULL AS metadata, NULL AS edits, NULL AS reactions,
    NULL AS annotations, NULL AS pinned, NULL AS deleted_at, NULL AS active_at, NULL AS last_at, NULL AS channels,
    NULL AS sessions, NULL AS receipts;

CREATE TEMP TRIGGER write_sessions INSTEAD OF INSERT ON batch WHEN NEW.bot_name IS NOT NULL BEGIN

    INSERT INTO channels (key, bot_name, front, channel_id, kind, name, guild_id, guild_name, parent_id, past_names,
        past_guild_names)
    SELECT value ->> '$.front' || ':' || (value ->> '$.id'), NEW.bot_name, value ->> '$.front', value ->> '$.id',
        value ->> '$.kind', value ->> '$.name', value ->> '$.guild_id', value ->> '$.guild_name',
        value ->> '$.parent_id', value -> '$.past_names', value -> '$.past_guild_names'
    FROM json_each(NEW.channels) WHERE true ORDER BY json_each.key
    ON CONFLICT (key) DO UPDATE SET
        past_names = iif(name = excluded.name, past_names, json_insert(past_names, '$[#]', name)),
        past_guild_names = iif(guild_name = excluded.guild_name OR guild_name IS NULL, past_guild_names,
            json_insert(past_guild_names, '$[#]', guild_name)),
        kind = excluded.kind, name = excluded.name, guild_id = excluded.guild_id,
        guild_name = excluded.guild_name, parent_id = excluded.parent_id
    WHERE (kind, name, guild_id, guild_name, parent_id)
        IS NOT (excluded.kind, excluded.name, excluded.guild_id, excluded.guild_name, excluded.parent_id);

    -- A session brings its channel, should nobody have kept it before.
    INSERT INTO channels (key, bot_name, front, channel_id, kind, name, guild_id, guild_name, parent_id, past_names,
        past_guild_names)
    SELECT value ->> '$.key', NEW.bot_name, value ->> '$.session.channel.front', value ->> '$.session.channel.id',
        value ->> '$.session.channel.kind', value ->> '$.session.channel.name',
        value ->> '$.session.channel.guild_id', value ->> '$.session.channel.guild_name',
        value ->> '$.session.channel.parent_id', value -> '$.session.channel.past_names',
        value -> '$.session.channel.past_guild_names'
    FROM json_each(NEW.sessions) WHERE NOT EXISTS (SELECT 1 FROM channels WHERE channels.key = value ->> '$.key')
    ON CONFLICT (key) DO NOTHING;

    INSERT INTO sessions (bot_name, channel_id, session_id, started_at, last_activity, is_active, channel_key, type,
        title, persona, participants, context, last_at, closed_at, follows, metadata, parent_id, branched_at, tags,
        starred, archived, deleted_at)
    SELECT NEW.bot_name, value ->> '$.session.channel.id', value ->> '$.session.id', value ->> '$.opened_at',
        value ->> '$.last_at', value ->> '$.closed_at' IS NULL, value ->> '$.key', value ->> '$.session.type',
        value ->> '$.session.title', value ->> '$.session.persona', value -> '$.session.participants',
        value -> '$.session.context', value ->> '$.last_at', value ->> '$.closed_at', value ->> '$.session.follows',
        value -> '$.session.metadata', value ->> '$.session.parent_id', value ->> '$.session.branched_at',
        value -> '$.session.tags', value ->> '$.session.starred', value ->> '$.session.archived',
        value ->> '$.deleted_at'
    FROM json_each(NEW.sessions) WHERE true
    ON CONFLICT (session_id) DO UPDATE SET
        channel_id = excluded.channel_id, started_at = excluded.started_at,
        last_activity = max(last_activity, excluded.last_activity), is_active = excluded.is_active,
        channel_key = excluded.channel_key, type = excluded.type, title = excluded.title, persona = excluded.persona,
        participants = excluded.participants, context = excluded.context, last_at = excluded.last_at,
        closed_at = excluded.closed_at, follows = excluded.follows, metadata = excluded.metadata,
        parent_id = excluded.parent_id, branched_at = excluded.branched_at, tags = excluded.tags,
        starred = excluded.starred, archived = excluded.archived, deleted_at = excluded.deleted_at;

END;

CREATE TEMP TRIGGER write_message INSTEAD OF INSERT ON batch WHEN NEW.message_id IS NOT NULL BEGIN

    INSERT INTO messages (message_id, session, sender, place, event, role, at, content, parts, persona, reply_to,
        asker, outcome, usage, metadata, edits, reactions, annotations, pinned, deleted_at)
    VALUES (NEW.message_id, NEW.session, NEW.sender, NEW.place, NEW.event, NEW.role, NEW.at, NEW.content, NEW.parts,
        NEW.persona, NEW.reply_to, NEW.asker, NEW.outcome, NEW.usage, NEW.metadata, NEW.edits, NEW.reactions,
        NEW.annotations, NEW.pinned, NEW.deleted_at);

    UPDATE sessions SET message_count = message_count + 1, last_activity = max(last_activity, NEW.active_at)
    WHERE id = NEW.session;

    UPDATE sessions SET last_at = NEW.last_at WHERE id = NEW.session AND last_at <> NEW.last_at;

END;

CREATE TEMP TRIGGER write_receipts INSTEAD OF INSERT ON batch WHEN NEW.receipts IS NOT NULL BEGIN

    INSERT INTO places (key)
    SELECT DISTINCT value ->> 0 FROM json_each(NEW.receipts)
    WHERE NOT EXISTS (SELECT 1 FROM places WHERE places.key = value ->> 0);

    INSERT INTO pages (place, event, message, page)
    SELECT (SELECT id FROM places WHERE places.key = value ->> 0), value ->> 1, m.id, value ->> 3
    FROM json_each(NEW.receipts) JOIN messages AS m ON m.message_id = value ->> 2
    WHERE true ORDER BY json_each.key
    ON CONFLICT (event, place) DO NOTHING;

END;
