-- Takes a shard, or gives it back, by compare-and-set. Called by directory/shard-claims.ts.
-- KEYS: ownership key, key of the last claim. ARGV: grant as it was read ('' for none), new grant, nonce of this claim.
-- A repeat after a lost reply finds its own grant and nonce and succeeds again; another process of the same node
-- name does not.
-- Reply: 1 or 0.
local grant = redis.call('GET', KEYS[1]) or ''
if grant == ARGV[2] and redis.call('GET', KEYS[2]) == ARGV[3] then return 1 end
if grant ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
