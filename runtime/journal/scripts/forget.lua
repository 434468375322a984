-- Removes outbox rows of acknowledged messages outside of a commit. Called by redis-journal.ts (forgetMessages).
-- KEYS: ownership key. ARGV: grant, then fields of the outbox hash. Reply: rows removed, or -1 when fenced.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
return redis.call('HDEL', string.sub(KEYS[1], 1, -2) .. 'q', unpack(ARGV, 2))
