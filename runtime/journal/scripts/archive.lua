-- Acknowledges that the oldest history of an actor stands in an archive: moves its pointer on and trims the stream.
-- Called by archive/history-archiver.ts, only once the archive is on the disk.
-- KEYS: ownership key, record of the actor, its history stream. ARGV: grant, pointer as it was read ('' for none), new
-- pointer, id of the last archived entry, id of the first entry to keep.
-- A repeat after a lost reply finds its own pointer. A store that was rolled back in between has another grant or no
-- such entry, and keeps what it has.
-- Reply: 1 (done), 0 (somebody else was here), -1 (fenced).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local record = redis.call('HMGET', KEYS[2], 'archived', 'version')
local pointer = record[1] or ''
if pointer == ARGV[3] then return 1 end
if pointer ~= ARGV[2] or not record[2] then return 0 end
if #redis.call('XRANGE', KEYS[3], ARGV[4], ARGV[4]) == 0 then return 0 end
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[5])
redis.call('HSET', KEYS[2], 'archived', ARGV[3])
return 1
