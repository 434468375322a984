-- A batch of commits, one run, atomic. Called by commit-batcher.ts only; arguments are laid out by commit-encoding.ts.
--
-- KEYS: the ownership key of every shard in the batch. All other keys are derived from it and share its slot.
-- ARGV: number of groups, then per group (all commits of one actor):
--   shard (index in KEYS), actor, commits, senders, <commit ids...>, <mark fields...>, then per commit:
--   length (ARGVs from here to the next commit), grant, expected version, version, commit id, state, context, head,
--   mode (idle|busy|removed), feed line, marks, <mark field, seq, after>..., then writes until the end of the commit:
--     history  tail  n  <stream id, JSON>...
--     receipt  now  keep since  n  <command id, JSON>...
--     HSET|HDEL|XADD  key suffix  n  <n arguments>
-- Reply, flat: per commit its ordinal (> 0), or -1 (fenced), or -2 version (conflict), or -3 sender (duplicate),
--   or -4 sender (gap).
--
-- Nothing of a commit is written before all of it is validated: Redis does not roll a script back.
-- A resent batch finds the id of its last applied commit in the record: since a batch is applied as a whole and an
-- actor is never in two batches at once, all of the group up to that id was committed then, and is answered so again.
local call = redis.call
local shards, results = {}, {}

local function shardAt(index)
  local shard = shards[index]
  if shard then return shard end
  local own = KEYS[index]
  local prefix = string.sub(own, 1, -2)
  shard = { prefix = prefix, feed = prefix .. 'f', grant = call('HGET', own, 'grant') }
  shards[index] = shard
  return shard
end

-- Ordinals are the sequence numbers of the feed, so the feed itself counts them: ids are 0-1, 0-2, ...
local function lastOrdinal(shard)
  local last = call('XREVRANGE', shard.feed, '+', '-', 'COUNT', '1')[1]
  return last and tonumber(string.sub(last[1], 3)) or 0
end

-- Keeps at least the newest 1,024 receipts, and all that are younger than `since`. A few are dropped per commit.
local function addReceipts(prefix, actor, now, since, first, last)
  local receipts, order = prefix .. 'r:' .. actor, prefix .. 'rz:' .. actor
  for at = first, last, 2 do
    if call('HSET', receipts, ARGV[at], ARGV[at + 1]) == 1 then
      local count = call('RPUSH', order, now .. '|' .. ARGV[at])
      for _ = 1, 4 do
        if count <= 1024 then break end
        local oldest = call('LINDEX', order, 0)
        local bar = string.find(oldest, '|', 1, true)
        if tonumber(string.sub(oldest, 1, bar - 1)) > since then break end
        call('LPOP', order)
        call('HDEL', receipts, string.sub(oldest, bar + 1))
        count = count - 1
      end
    end
  end
end

-- A removed actor keeps its record (version, marks) so that a new life goes on from it, but none of its rows.
local function removeCollections(prefix, actor)
  local key = prefix .. 'a:' .. actor
  for _, field in ipairs(call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'c:' then
      call('UNLINK', prefix .. 'c:' .. actor .. ':' .. string.sub(field, 3))
      call('HDEL', key, field)
    end
  end
end

-- @return nil when all marks are next in their sequence (`marks` and `moved` then have them), else code and field
local function checkMarks(marks, moved, at)
  local fresh = {}
  for m = 0, tonumber(ARGV[at]) - 1 do
    local field, seq, after = ARGV[at + 1 + 3 * m], tonumber(ARGV[at + 2 + 3 * m]), tonumber(ARGV[at + 3 + 3 * m])
    local mark = fresh[field] or marks[field]
    if seq <= mark then return -3, field end
    if after > mark then return -4, field end
    fresh[field] = seq
  end
  for field, seq in pairs(fresh) do marks[field], moved[field] = seq, seq end
end

local function write(prefix, actor, at, stop)
  while at < stop do
    local verb, last = ARGV[at], nil
    if verb == 'history' then
      last = at + 2 + tonumber(ARGV[at + 2])
      for entry = at + 3, last, 2 do
        call('XADD', prefix .. 'h:' .. actor, 'MAXLEN', '~', ARGV[at + 1], ARGV[entry], 'e', ARGV[entry + 1])
      end
    elseif verb == 'receipt' then
      last = at + 3 + tonumber(ARGV[at + 3])
      addReceipts(prefix, actor, ARGV[at + 1], tonumber(ARGV[at + 2]), at + 4, last)
    else
      last = at + 2 + tonumber(ARGV[at + 2])
      call(verb, prefix .. ARGV[at + 1], unpack(ARGV, at + 3, last))
    end
    at = last + 1
  end
end

-- The record once per actor and batch, from its last commit that passed (at `at`); the sets when the mode has changed.
local function writeRecord(prefix, actor, key, at, moved, oldMode)
  local mode, n = ARGV[at + 8], 0
  if next(moved) then
    local fields = {}
    for field, seq in pairs(moved) do
      fields[n + 1], fields[n + 2] = field, seq
      n = n + 2
      if n > 4000 then
        call('HSET', key, unpack(fields, 1, n))
        n = 0
      end
    end
    call('HSET', key, 'version', ARGV[at + 3], 'commitId', ARGV[at + 4], 'state', ARGV[at + 5], 'context', ARGV[at + 6],
      'head', ARGV[at + 7], 'mode', mode, unpack(fields, 1, n))
  else
    call('HSET', key, 'version', ARGV[at + 3], 'commitId', ARGV[at + 4], 'state', ARGV[at + 5], 'context', ARGV[at + 6],
      'head', ARGV[at + 7], 'mode', mode)
  end
  if mode == oldMode then return end
  call(mode == 'busy' and 'SADD' or 'SREM', prefix .. 'b', actor)
  call(mode == 'removed' and 'SREM' or 'SADD', prefix .. 'i', actor)
end

local function storedRecord(key, at, senders)
  if senders == 0 then return call('HMGET', key, 'version', 'commitId', 'mode') end
  if senders <= 4000 then
    return call('HMGET', key, 'version', 'commitId', 'mode', unpack(ARGV, at, at + senders - 1))
  end
  local record = call('HMGET', key, 'version', 'commitId', 'mode')
  for s = 0, senders - 1 do record[4 + s] = call('HGET', key, ARGV[at + s]) end
  return record
end

-- @return where the next group begins
local function applyGroup(at)
  local shard, actor = shardAt(tonumber(ARGV[at])), ARGV[at + 1]
  local commits, senders = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local ids = at + 4
  local fields = ids + commits
  local key = shard.prefix .. 'a:' .. actor
  local stored = storedRecord(key, fields, senders)
  local version, marks, moved, again, failed, last = stored[1] or '0', {}, {}, 0, false, nil
  for s = 0, senders - 1 do marks[ARGV[fields + s]] = tonumber(stored[4 + s] or '0') end
  for c = 1, commits do
    if ARGV[ids + c - 1] == stored[2] then again = c end
  end
  at = fields + senders
  for c = 1, commits do
    local stop = at + tonumber(ARGV[at])
    if c <= again then
      results[#results + 1] = lastOrdinal(shard)
    elseif ARGV[at + 1] ~= shard.grant then
      results[#results + 1], failed = -1, true
    elseif failed or ARGV[at + 2] ~= version then
      results[#results + 1] = -2
      results[#results + 1], failed = version, true
    else
      local code, sender = checkMarks(marks, moved, at + 10)
      if code then
        results[#results + 1] = code
        results[#results + 1], failed = sender, true
      else
        version, last = ARGV[at + 3], at
        local id = call('XADD', shard.feed, 'MAXLEN', '~', '10000', '0-*', 'e', ARGV[at + 9])
        results[#results + 1] = tonumber(string.sub(id, 3))
        write(shard.prefix, actor, at + 11 + 3 * tonumber(ARGV[at + 10]), stop)
        if ARGV[at + 8] == 'removed' then removeCollections(shard.prefix, actor) end
      end
    end
    at = stop
  end
  if last then writeRecord(shard.prefix, actor, key, last, moved, stored[3]) end
  return at
end

local at = 2
for _ = 1, tonumber(ARGV[1]) do at = applyGroup(at) end
return results
