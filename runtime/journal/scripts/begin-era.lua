-- Begins a new era by compare-and-set. Called by directory/cluster-record.ts.
-- KEYS: cluster record. ARGV: era as it was read, new era, reason, wall time in ms.
-- Reply: the era now stored: the new one, or the one another node has begun meanwhile.
local era = redis.call('HGET', KEYS[1], 'era')
if era ~= ARGV[1] then return era end
redis.call('HSET', KEYS[1], 'era', ARGV[2], 'eraBecause', ARGV[3], 'eraSince', ARGV[4])
return ARGV[2]
