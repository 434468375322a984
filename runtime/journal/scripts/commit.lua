-- A batch of commits, one run, atomic. Called by commit-batcher.ts only; arguments are laid out by commit-encoding.ts.
--
-- KEYS: the ownership key of every shard in the batch. All other keys are derived from it and share its slot.
-- ARGV: number of groups, then per group (all commits of one actor):
--   shard (index in KEYS), actor, commits, senders, <commit ids...>, <mark fields...>, then per commit:
--   length (ARGVs from here to the next commit), grant, expected version, version, commit id, state, context, head, busy (0|1),
--   summary, live (0|1), marks, <mark field, seq, after>..., then writes until the end of the commit:
--     HSET|HDEL|XADD  key suffix  n  <n arguments>
--     receipt  now  keep since  n  <command id, JSON>...
-- Reply, flat: per commit its ordinal (> 0), or -1 fenced, or -2 version (conflict), or -3 sender (duplicate), or -4 sender (gap).
--
-- Nothing of a commit is written before all of it is validated: Redis does not roll a script back.
-- A resent batch finds the id of its last applied commit in the record: since a batch is applied as a whole and an actor is never
-- in two batches at once, all of the group up to that id was committed then, and is answered so again.
local call = redis.call
local shards, results = {}, {}

local function shardAt(index)
  local shard = shards[index]
  if shard then return shard end
  local own = KEYS[index]
  local record = call('HMGET', own, 'grant', 'ord')
  shard = { own = own, prefix = string.sub(own, 1, -2), grant = record[1], ord = tonumber(record[2] or '0') }
  shards[index] = shard
  return shard
end

-- Keeps at least the newest 1,024 receipts, and all that are younger than `since`. A few are dropped per commit, never a heap.
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

-- @return nil when all marks are next in their sequence (`marks` is then up to date), else the code and the sender's field
local function checkMarks(marks, at)
  local fresh = {}
  for m = 0, tonumber(ARGV[at]) - 1 do
    local field, seq, after = ARGV[at + 1 + 3 * m], tonumber(ARGV[at + 2 + 3 * m]), tonumber(ARGV[at + 3 + 3 * m])
    local mark = fresh[field] or marks[field]
    if seq <= mark then return -3, field end
    if after > mark then return -4, field end
    fresh[field] = seq
  end
  for field, seq in pairs(fresh) do marks[field] = seq end
end

local function write(shard, actor, at, stop)
  local prefix = shard.prefix
  while at < stop do
    local verb = ARGV[at]
    if verb == 'receipt' then
      local last = at + 3 + tonumber(ARGV[at + 3])
      addReceipts(prefix, actor, ARGV[at + 1], tonumber(ARGV[at + 2]), at + 4, last)
      at = last + 1
    else
      local last = at + 2 + tonumber(ARGV[at + 2])
      call(verb, prefix .. ARGV[at + 1], unpack(ARGV, at + 3, last))
      at = last + 1
    end
  end
end

-- The record and the index line once per actor and batch, from its last commit that passed (at `at`).
local function writeRecord(shard, actor, key, at, marks, wasBusy)
  local record = { 'version', ARGV[at + 3], 'commitId', ARGV[at + 4], 'state', ARGV[at + 5], 'context', ARGV[at + 6],
    'head', ARGV[at + 7], 'busy', ARGV[at + 8] }
  local n = 12
  for field, seq in pairs(marks) do
    record[n + 1], record[n + 2] = field, seq
    n = n + 2
    if n > 4000 then
      call('HSET', key, unpack(record, 1, n))
      record, n = {}, 0
    end
  end
  if n > 0 then call('HSET', key, unpack(record, 1, n)) end
  if ARGV[at + 8] ~= wasBusy then call(ARGV[at + 8] == '1' and 'SADD' or 'SREM', shard.prefix .. 'b', actor) end
  if ARGV[at + 10] == '1' then
    call('HSET', shard.prefix .. 'i', actor, ARGV[at + 9])
  else
    call('HDEL', shard.prefix .. 'i', actor)
  end
end

local function storedRecord(key, at, senders)
  if senders == 0 then return call('HMGET', key, 'version', 'commitId', 'busy') end
  if senders <= 4000 then return call('HMGET', key, 'version', 'commitId', 'busy', unpack(ARGV, at, at + senders - 1)) end
  local record = call('HMGET', key, 'version', 'commitId', 'busy')
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
  local version, marks, again, failed, last = stored[1] or '0', {}, 0, false, nil
  for s = 0, senders - 1 do marks[ARGV[fields + s]] = tonumber(stored[4 + s] or '0') end
  for c = 1, commits do
    if ARGV[ids + c - 1] == stored[2] then again = c end
  end
  at = fields + senders
  for c = 1, commits do
    local stop = at + tonumber(ARGV[at])
    if c <= again then
      results[#results + 1] = shard.ord
    elseif ARGV[at + 1] ~= shard.grant then
      results[#results + 1], failed = -1, true
    elseif failed or ARGV[at + 2] ~= version then
      results[#results + 1] = -2
      results[#results + 1], failed = version, true
    else
      local code, sender = checkMarks(marks, at + 11)
      if code then
        results[#results + 1] = code
        results[#results + 1], failed = sender, true
      else
        version, last = ARGV[at + 3], at
        shard.ord, shard.moved = shard.ord + 1, true
        results[#results + 1] = shard.ord
        call('XADD', shard.prefix .. 'f', 'MAXLEN', '~', '10000', string.format('%.0f-0', shard.ord), 'a', actor, 's', ARGV[at + 9])
        write(shard, actor, at + 12 + 3 * tonumber(ARGV[at + 11]), stop)
        if ARGV[at + 10] == '0' then removeCollections(shard.prefix, actor) end
      end
    end
    at = stop
  end
  if last then writeRecord(shard, actor, key, last, marks, stored[3] or '0') end
  return at
end

local at = 2
for _ = 1, tonumber(ARGV[1]) do at = applyGroup(at) end
for _, shard in pairs(shards) do
  if shard.moved then call('HSET', shard.own, 'ord', string.format('%.0f', shard.ord)) end
end
return results
