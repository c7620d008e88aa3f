-- Who was answered comes with a message whose question was removed where it was kept before.

-- Of the changes with a message those that were kept: by this call, or by an earlier one whose answer got lost.
CREATE OR REPLACE FUNCTION bot.write_batch(
    bot_name text, channels jsonb, sessions jsonb, messages jsonb, receipts jsonb, attachments jsonb
) RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    kept bigint[] := '{}';
    before bigint[] := '{}';
    channel record;
BEGIN
    PERFORM bot.take_turn();

    WITH fresh AS (
        INSERT INTO bot.conversations (bot_name, channel_id, channel_name, channel_type, user_id, username,
            session_id, message_id, role, content, timestamp, metadata, origin, sender_type, persona, parts, reply_to,
            asker, outcome, usage, edits, reactions, annotations, pinned, deleted_at, change, words)
        SELECT write_batch.bot_name, channel_id, channel_name, channel_type, user_id, username, session_id, message_id,
            role, content, timestamp, metadata, origin, sender_type, persona, parts, reply_to, asker, outcome, usage,
            edits, reactions, annotations, pinned, deleted_at, change, words::tsvector
        FROM jsonb_to_recordset(messages) AS m(channel_id text, channel_name text, channel_type text, user_id text,
            username text, session_id text, message_id text, role text, content text, timestamp timestamptz,
            metadata jsonb, origin text, sender_type text, persona text, parts jsonb, reply_to text, asker text,
            outcome text, usage jsonb, edits jsonb, reactions jsonb, annotations jsonb, pinned boolean,
            deleted_at timestamptz, change bigint, words text)
        ORDER BY change
        ON CONFLICT DO NOTHING RETURNING change
    )
    SELECT coalesce(array_agg(change), '{}') INTO kept FROM fresh;
    IF cardinality(kept) < jsonb_array_length(messages) THEN
        SELECT coalesce(array_agg(c.change), '{}') INTO before
        FROM jsonb_to_recordset(messages) AS m(message_id text, change bigint)
        JOIN bot.conversations AS c ON c.message_id = m.message_id AND c.change = m.change
        WHERE m.change <> ALL (kept);
    END IF;

    -- One after the other: a channel may come twice, and each new name moves the one before it to the past.
    FOR channel IN SELECT * FROM jsonb_to_recordset(channels) AS c(key text, front text, id text, kind text,
        name text, guild_id text, guild_name text, parent_id text, past_names jsonb, past_guild_names jsonb)
    LOOP
        INSERT INTO bot.channels AS c (key, bot_name, front, channel_id, kind, name, guild_id, guild_name, parent_id,
            past_names, past_guild_names)
        VALUES (channel.key, write_batch.bot_name, channel.front, channel.id, channel.kind, channel.name,
            channel.guild_id, channel.guild_name, channel.parent_id, channel.past_names, channel.past_guild_names)
        ON CONFLICT (key) DO UPDATE SET
            past_names = CASE WHEN c.name = excluded.name THEN c.past_names
                ELSE c.past_names || to_jsonb(c.name) END,
            past_guild_names = CASE WHEN c.guild_name = excluded.guild_name OR c.guild_name IS NULL
                THEN c.past_guild_names ELSE c.past_guild_names || to_jsonb(c.guild_name) END,
            kind = excluded.kind, name = excluded.name, guild_id = excluded.guild_id,
            guild_name = excluded.guild_name, parent_id = excluded.parent_id
        WHERE (c.kind, c.name, c.guild_id, c.guild_name, c.parent_id) IS DISTINCT FROM
            (excluded.kind, excluded.name, excluded.guild_id, excluded.guild_name, excluded.parent_id);
    END LOOP;

    PERFORM bot.write_sessions(write_batch.bot_name, sessions, kept);

    IF receipts <> '[]' THEN
        INSERT INTO bot.receipts (origin, message_id, page)
        SELECT r.origin, r.message_id, r.page
        FROM ROWS FROM (jsonb_to_recordset(receipts) AS (origin text, message_id text, page integer, change bigint))
            WITH ORDINALITY AS r(origin, message_id, page, change, place)
        WHERE (r.change IS NULL OR r.change = ANY (kept))
            AND EXISTS (SELECT FROM bot.conversations AS c WHERE c.message_id = r.message_id)
        ORDER BY r.place
        ON CONFLICT (origin) DO NOTHING;
    END IF;
    IF attachments <> '[]' THEN
        INSERT INTO bot.attachments (hash, message_id)
        SELECT a.hash, a.message_id FROM jsonb_to_recordset(attachments) AS a(hash text, message_id text, change bigint)
        WHERE a.change = ANY (kept)
        ON CONFLICT DO NOTHING;
    END IF;

    RETURN kept || before;
END
$$;
