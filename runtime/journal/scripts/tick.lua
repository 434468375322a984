-- Advances the shared clock by what has passed on the server's clock since the last tick of any node. Called by
-- directory/cluster-clock.ts, which says why this clock does not step.
-- KEYS: clock. ARGV: microseconds to take back, because the server's clock has stepped forward by them, and the reading
-- that was too far ahead; a repeat of this call finds a lower one and takes nothing back.
-- Reply: the shared clock and what it was advanced by, in microseconds, as text.
local time = redis.call('TIME')
local server = tonumber(time[1]) * 1000000 + tonumber(time[2])
local known = redis.call('HMGET', KEYS[1], 'sharedUs', 'serverUs')
local shared = server
local passed = 0
if known[1] and known[2] then
  passed = server - tonumber(known[2])
  if passed < 0 then passed = 0 end
  shared = tonumber(known[1]) + passed
  if tonumber(known[1]) >= tonumber(ARGV[2]) then shared = shared - tonumber(ARGV[1]) end
end
local text = string.format('%.0f', shared)
redis.call('HSET', KEYS[1], 'sharedUs', text, 'serverUs', string.format('%.0f', server))
return {text, string.format('%.0f', passed)}
