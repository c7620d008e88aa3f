-- How a batch is written: one call, one transaction, one trip, whatever it holds.

-- Writers of one bot take turns, so that the order of ids is the order in which messages come to be seen (a page's
-- cursor would else miss the late ones), nobody deadlocks, and two sessions are never opened at once. A turn is one
-- commit and writes what waited for it, so little is lost by it.
CREATE FUNCTION bot.take_turn() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('bot.', 0));
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'local', true); -- what is acknowledged survives a power cut
    END IF;
END
$$;

-- Of the changes with a message those that were kept: by this call, or by an earlier one whose answer got lost.
CREATE FUNCTION bot.write_batch(
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
            outcome, usage, edits, reactions, annotations, pinned, deleted_at, change, words)
        SELECT write_batch.bot_name, channel_id, channel_name, channel_type, user_id, username, session_id, message_id,
            role, content, timestamp, metadata, origin, sender_type, persona, parts, reply_to, outcome, usage, edits,
            reactions, annotations, pinned, deleted_at, change, words::tsvector
        FROM jsonb_to_recordset(messages) AS m(channel_id text, channel_name text, channel_type text, user_id text,
            username text, session_id text, message_id text, role text, content text, timestamp timestamptz,
            metadata jsonb, origin text, sender_type text, persona text, parts jsonb, reply_to text, outcome text,
            usage jsonb, edits jsonb, reactions jsonb, annotations jsonb, pinned boolean, deleted_at timestamptz,
            change bigint, words text)
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

-- Sessions as given, the last of those with one id, unless the message they came with was not kept. One that came
-- with a message may be an older copy than another process has: it does not move back when somebody last spoke.
CREATE FUNCTION bot.write_sessions(bot_name text, sessions jsonb, kept bigint[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO bot.channels (key, bot_name, front, channel_id, kind, name, guild_id, guild_name, parent_id,
        past_names, past_guild_names)
    SELECT s.channel_key, write_sessions.bot_name, s.channel ->> 'front', s.channel ->> 'id',
        s.channel ->> 'kind', s.channel ->> 'name', s.channel ->> 'guild_id', s.channel ->> 'guild_name',
        s.channel ->> 'parent_id', s.channel -> 'past_names', s.channel -> 'past_guild_names'
    FROM jsonb_to_recordset(sessions) AS s(channel_key text, channel jsonb, change bigint)
    WHERE (s.change IS NULL OR s.change = ANY (kept))
        AND NOT EXISTS (SELECT FROM bot.channels AS c WHERE c.key = s.channel_key)
    ON CONFLICT (key) DO NOTHING;

    INSERT INTO bot.sessions AS old (bot_name, channel_id, session_id, started_at, last_activity, message_count,
        channel_key, type, title, persona, participants, context, last_at, closed_at, follows, parent_id, branched_at,
        tags, starred, archived, deleted_at, metadata)
    SELECT write_sessions.bot_name, s.channel ->> 'id', s.id, s.opened_at, s.active_at, s.many, s.channel_key,
        s.type, s.title, s.persona, s.participants, s.context,
        CASE WHEN s.change IS NULL THEN s.last_at ELSE greatest(s.spoken_at, (
            SELECT known.last_at FROM bot.sessions AS known WHERE known.session_id = s.id)) END,
        s.closed_at, s.follows, s.parent_id, s.branched_at, s.tags, s.starred, s.archived, s.deleted_at, s.metadata
    FROM (
        SELECT *, count(given.change) OVER same AS many,
            max(greatest(given.last_at, given.said_at)) OVER same AS active_at,
            max(given.last_at) OVER same AS spoken_at,
            row_number() OVER (PARTITION BY given.id ORDER BY given.place DESC) AS nearest
        FROM ROWS FROM (
            jsonb_to_recordset(sessions) AS (id text, channel_key text, channel jsonb, type text, title text,
                persona text, participants jsonb, context jsonb, opened_at timestamptz, last_at timestamptz,
                closed_at timestamptz, follows text, parent_id text, branched_at text, tags jsonb, starred boolean,
                archived boolean, deleted_at timestamptz, metadata jsonb, said_at timestamptz, change bigint)
        ) WITH ORDINALITY AS given(id, channel_key, channel, type, title, persona, participants, context, opened_at,
            last_at, closed_at, follows, parent_id, branched_at, tags, starred, archived, deleted_at, metadata,
            said_at, change, place)
        WHERE given.change IS NULL OR given.change = ANY (kept)
        WINDOW same AS (PARTITION BY given.id)
    ) AS s WHERE s.nearest = 1 ORDER BY s.place
    ON CONFLICT (session_id) DO UPDATE SET
        channel_id = excluded.channel_id, started_at = excluded.started_at,
        last_activity = greatest(old.last_activity, excluded.last_activity),
        message_count = old.message_count + excluded.message_count, channel_key = excluded.channel_key,
        type = excluded.type, title = excluded.title, persona = excluded.persona,
        participants = excluded.participants, context = excluded.context, last_at = excluded.last_at,
        closed_at = excluded.closed_at, follows = excluded.follows, parent_id = excluded.parent_id,
        branched_at = excluded.branched_at, tags = excluded.tags, starred = excluded.starred,
        archived = excluded.archived, deleted_at = excluded.deleted_at, metadata = excluded.metadata;
END
$$;

-- The session in use: the one given, unless somebody has spoken in another open one of its channel since `fresh`.
CREATE FUNCTION bot.open_session(bot_name text, session jsonb, fresh timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    known text;
BEGIN
    PERFORM bot.take_turn();
    SELECT s.session_id INTO known FROM bot.sessions AS s
    WHERE s.channel_key = session ->> 'channel_key' AND s.is_active AND s.deleted_at IS NULL AND s.last_at >= fresh
    ORDER BY s.last_at DESC, s.id DESC LIMIT 1;
    IF known IS NULL THEN
        PERFORM bot.write_sessions(bot_name, jsonb_build_array(session), '{}');
        known := session ->> 'id';
    END IF;
    RETURN known;
END
$$;

-- How many there were. What their answers took stays, and whom the answers that stay had answered.
CREATE FUNCTION bot.remove_messages(ids text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    many bigint;
BEGIN
    PERFORM bot.take_turn();
    UPDATE bot.conversations AS answer SET asker = question.user_id FROM bot.conversations AS question
    WHERE question.message_id = ANY (ids) AND answer.reply_to = question.message_id AND answer.usage IS NOT NULL
        AND answer.asker IS NULL;
    INSERT INTO bot.records (kind, id, bot_name, at, about, body)
    SELECT 'spent', m.message_id, m.bot_name, m.timestamp, coalesce(m.asker, question.user_id, ''), jsonb_build_object(
        'id', m.message_id, 'at', m.timestamp, 'usage', m.usage, 'user_id', coalesce(m.asker, question.user_id, ''),
        'channel_key', s.channel_key, 'persona', coalesce(m.persona, ''))
    FROM bot.conversations AS m JOIN bot.sessions AS s ON s.session_id = m.session_id
        LEFT JOIN bot.conversations AS question ON question.message_id = m.reply_to
    WHERE m.message_id = ANY (ids) AND m.usage IS NOT NULL
    ON CONFLICT DO NOTHING;
    DELETE FROM bot.conversations AS m WHERE m.message_id = ANY (ids);
    GET DIAGNOSTICS many = ROW_COUNT;
    RETURN many;
END
$$;

CREATE FUNCTION bot.remove_sessions(ids text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    many bigint;
BEGIN
    PERFORM bot.take_turn();
    PERFORM bot.remove_messages(ARRAY(SELECT m.message_id FROM bot.conversations AS m WHERE m.session_id = ANY (ids)));
    DELETE FROM bot.sessions AS s WHERE s.session_id = ANY (ids);
    GET DIAGNOSTICS many = ROW_COUNT;
    RETURN many;
END
$$;

CREATE FUNCTION bot.cosine(a double precision[], b double precision[]) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sum(x * y) / nullif(sqrt(sum(x * x)) * sqrt(sum(y * y)), 0) FROM unnest(a, b) AS both_of(x, y)
$$;
