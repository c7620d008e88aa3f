-- How a batch is written: one row put into this view, a JSON array per table (or null). The writer's connection
-- makes it anew each time it opens, so it is no part of the schema and can change freely.
--
-- Why so: one statement is one transaction and one trip out of Python's lock. While the event loop is busy every
-- trip back waits for it (up to 5 ms), so ten statements would cost fifty.

CREATE TEMP VIEW batch AS SELECT NULL AS bot_name, NULL AS channels, NULL AS sessions, NULL AS messages,
    NULL AS receipts;

CREATE TEMP TRIGGER write_batch INSTEAD OF INSERT ON batch BEGIN

    INSERT INTO channels (key, bot_name, front, channel_id, kind, name, guild_id, guild_name, parent_id, past_names)
    SELECT value ->> '$.front' || ':' || (value ->> '$.id'), NEW.bot_name, value ->> '$.front', value ->> '$.id',
        value ->> '$.kind', value ->> '$.name', value ->> '$.guild_id', value ->> '$.guild_name',
        value ->> '$.parent_id', value -> '$.past_names'
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
    INSERT INTO channels (key, bot_name, front, channel_id, kind, name, guild_id, guild_name, parent_id, past_names)
    SELECT value ->> '$.key', NEW.bot_name, value ->> '$.session.channel.front', value ->> '$.session.channel.id',
        value ->> '$.session.channel.kind', value ->> '$.session.channel.name',
        value ->> '$.session.channel.guild_id', value ->> '$.session.channel.guild_name',
        value ->> '$.session.channel.parent_id', value -> '$.session.channel.past_names'
    FROM json_each(NEW.sessions) WHERE true
    ON CONFLICT (key) DO NOTHING;

    INSERT INTO sessions (bot_name, channel_id, session_id, started_at, last_activity, is_active, channel_key, type,
        title, persona, participants, context, last_at, closed_at, follows, metadata)
    SELECT NEW.bot_name, value ->> '$.session.channel.id', value ->> '$.session.id', value ->> '$.opened_at',
        value ->> '$.last_at', value ->> '$.closed_at' IS NULL, value ->> '$.key', value ->> '$.session.type',
        value ->> '$.session.title', value ->> '$.session.persona', value -> '$.session.participants',
        value -> '$.session.context', value ->> '$.last_at', value ->> '$.closed_at', value ->> '$.session.follows',
        value -> '$.session.metadata'
    FROM json_each(NEW.sessions) WHERE true
    ON CONFLICT (session_id) DO UPDATE SET
        channel_id = excluded.channel_id, started_at = excluded.started_at,
        last_activity = max(last_activity, excluded.last_activity), is_active = excluded.is_active,
        channel_key = excluded.channel_key, type = excluded.type, title = excluded.title, persona = excluded.persona,
        participants = excluded.participants, context = excluded.context, last_at = excluded.last_at,
        closed_at = excluded.closed_at, follows = excluded.follows, metadata = excluded.metadata;

    INSERT INTO conversations (bot_name, channel_id, channel_name, channel_type, user_id, username, session_id,
        message_id, role, content, timestamp, metadata, origin, sender_type, persona, parts, reply_to, outcome, usage)
    SELECT NEW.bot_name, value ->> '$.channel.id', value ->> '$.channel.name',
        iif(value ->> '$.channel.kind' = 'dm', 'dm', 'channel'), value ->> '$.message.sender.id',
        value ->> '$.message.sender.name', value ->> '$.message.session_id', value ->> '$.message.id',
        value ->> '$.message.role', value ->> '$.content', value ->> '$.at', value -> '$.message.metadata',
        value ->> '$.message.origin', value ->> '$.message.sender.type', value ->> '$.message.persona',
        value -> '$.message.parts', value ->> '$.message.reply_to', value ->> '$.message.outcome',
        nullif(value -> '$.message.usage', 'null')
    FROM json_each(NEW.messages) ORDER BY json_each.key;

    INSERT INTO receipts (origin, message_id, page)
    SELECT value ->> '$.receipt.origin', value ->> '$.message_id', value ->> '$.receipt.page'
    FROM json_each(NEW.receipts)
    WHERE EXISTS (SELECT 1 FROM conversations WHERE conversations.message_id = value ->> '$.message_id')
    ORDER BY json_each.key
    ON CONFLICT (origin) DO NOTHING;

END;
