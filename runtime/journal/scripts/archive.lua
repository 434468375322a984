-- Records that the oldest history entries of an actor were archived: advances its pointer and trims the stream.
-- Called by archive/history-archiver.ts, only after the archive file was synced to disk.
-- KEYS: ownership key, record of the actor, its history stream. ARGV: grant, pointer as it was read ('' for none), new
-- pointer, id of the last archived entry, id of the first entry to keep.
-- A repeat after a lost reply finds its own pointer and is done. If the store was rolled back since the entries were
-- read, the grant differs or the last archived entry is missing, and nothing is changed.
-- Reply: 1 (done), 0 (the pointer or the entries have changed since they were read), -1 (fenced).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local record = redis.call('HMGET', KEYS[2], 'archived', 'version')
local pointer = record[1] or ''
if pointer == ARGV[3] then return 1 end
if pointer ~= ARGV[2] or not record[2] then return 0 end
if #redis.call('XRANGE', KEYS[3], ARGV[4], ARGV[4]) == 0 then return 0 end
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[5])
redis.call('HSET', KEYS[2], 'archived', ARGV[3])
return 1
