-- Claims or releases a shard by compare-and-set. Called by directory/shard-claims.ts.
-- KEYS: ownership key, nonce key. ARGV: grant as it was read ('' for none), new grant, nonce (boot id of the process).
-- A repeat after a lost reply finds its own grant and nonce and succeeds again; another process with the same node
-- name has another nonce and fails.
-- Reply: 1 (swapped) or 0 (the grant has changed since it was read).
local grant = redis.call('GET', KEYS[1]) or ''
if grant == ARGV[2] and redis.call('GET', KEYS[2]) == ARGV[3] then return 1 end
if grant ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
